import { copyFile, cp, link, mkdir, readFile, readdir, symlink, writeFile } from 'node:fs/promises'
import { once } from 'node:events'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { beforeAll, describe, expect, it } from 'vitest'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { writeSafetensors } from '../../src/export/write.js'
import { Plan } from '../../src/index.js'
import { keptFolder } from '../checkpoint/helpers.js'
import { golden } from '../golden.js'
import { skrr, start } from './run.js'

const folder = keptFolder()
const inside = (name: string): string => join(folder(), name)
const MODEL = golden('t5-tiny-v11')

beforeAll(async () => {
  await cp(MODEL, inside('model'), { recursive: true })
  const data = new Uint8Array(Int32Array.of(5, 6, 1, 7, 8, 1).buffer)
  const tensors = [{ name: 'input_ids', dtype: 'I32' as const, shape: [2, 3], data }]
  await writeSafetensors(inside('ids.safetensors'), tensors)
  await writeFile(inside('plan.json'), Plan.dense(6).stringify())
  await link(inside('ids.safetensors'), inside('hard-link'))
  await symlink(inside('ids.safetensors'), inside('symbolic-link'))
  await mkdir(inside('real'))
  await symlink(inside('real'), inside('other-name'))
  await symlink(inside('real/p'), inside('dangling'))
})

const ENCODE = 'encode --model @/model --input-ids @/ids.safetensors'
const SELECT = 'select --model @/model --input-ids @/ids.safetensors --null @/ids.safetensors --skip-count 1'
const words = (line: string): string[] => line.replaceAll('@', folder()).split(' ')

/** Every file and what is in it. */
async function contents(): Promise<[string, string][]> {
  const entries = await readdir(folder(), { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  return Promise.all(files.sort().map(async (file) => [file, await readFile(file, 'latin1')]))
}

describe('an output that is a file the command reads, or another of its outputs', () => {
  it.each([
    ['ids', `${ENCODE} --out @/ids.safetensors`, '--out: found what --input-ids reads'],
    [
      'ids by another name',
      `${ENCODE} --out @/model/../ids.safetensors`,
      '--out: found what --input-ids reads',
    ],
    ['ids by a hard link', `${ENCODE} --out @/hard-link`, '--out: found what --input-ids reads'],
    ['ids by a symbolic link', `${ENCODE} --out @/symbolic-link`, '--out: found what --input-ids reads'],
    ['the plan', `${ENCODE} --plan @/plan.json --out @/plan.json`, '--out: found what --plan reads'],
    ['the weights', `${ENCODE} --out @/model/model.safetensors`, '--out: found what --model reads'],
    ['the config', `${ENCODE} --out @/model/config.json`, '--out: found what --model reads'],
    [
      'prompts',
      'encode --model @/model --prompts @/plan.json --out @/plan.json',
      '--out: found what --prompts reads',
    ],
    ['a null condition', `${SELECT} --out @/ids.safetensors`, '--out: found what --'],
    [
      'a projection',
      `${SELECT} --projection @/plan.json --out @/p --trace @/plan.json`,
      'what --projection reads',
    ],
    ['one output twice', `${SELECT} --out @/p --trace @/p`, '--trace: found what --out writes'],
    ['by two paths', `${SELECT} --out @/real/p --report @/other-name/p`, '--report: found what --out writes'],
    ['by a link to it', `${SELECT} --out @/real/p --trace @/dangling`, '--trace: found what --out writes'],
    [
      'a plan on the journal',
      `${SELECT} --out @/p --trace @/p.journal`,
      "--out's journal: found what --trace",
    ],
    ['stdout twice', `${SELECT} --out - --trace -`, '--trace: found what --out writes'],
    ['JSON and stdout', `${ENCODE} --out - --json`, '--out: found - together with --json'],
    ['a folder on stdout', 'export --model @/model --out -', '--out: found -, expected a folder'],
  ])('is refused before work: %s', async (_, line, message) => {
    const before = await contents()
    const { code, stdout, stderr } = await skrr(words(line))
    expect(stdout + stderr).toContain(message)
    expect(code).toBe(1)
    expect(await contents()).toEqual(before)
  })

  it('is none where the same output is written again, also beside the weights', async () => {
    const out = '@/model/embeddings.safetensors'
    for (let turn = 0; turn < 2; turn++) {
      expect(await skrr(words(`${ENCODE} --plan dense --out ${out}`))).toMatchObject({ code: 0 })
    }
  })
})

describe('- as an output', () => {
  it('is stdout: the bytes of the file, and messages on stderr', async () => {
    const child = start(words(`${ENCODE} --out -`))
    const [bytes, messages] = [buffer(child.stdout!), buffer(child.stderr!)]
    await once(child, 'close')
    expect((await messages).toString()).toContain('float32 on stdout')
    await skrr(words(`${ENCODE} --out @/file.safetensors`))
    expect((await bytes).equals(await readFile(inside('file.safetensors')))).toBe(true)
    await writeFile(inside('piped.safetensors'), await bytes)
    expect([...(await readTensors(inside('piped.safetensors'))).keys()].sort()).toEqual([
      'attention_mask',
      'last_hidden_state',
    ])
  })

  it('of select is the plan alone, and no journal is made', async () => {
    const cwd = inside('real')
    const { code, stdout, stderr } = await skrr(words(`${SELECT} --out -`), { cwd })
    expect(code).toBe(0)
    expect(Plan.parse(stdout, 'stdout').equals(Plan.dense(6))).toBe(false)
    expect(stderr).toContain('on stdout')
    expect(await readdir(cwd)).toEqual([])
  })

  it('may be the trace or the page, beside a plan in a file', async () => {
    const trace = await skrr(words(`${SELECT} --out @/real/plan --trace -`))
    expect(JSON.parse(trace.stdout)).toHaveProperty('steps')
    const page = await skrr(words(`${SELECT} --out @/real/plan --report -`))
    expect(page.stdout.trim()).toMatch(/^<!doctype html>[^]*<\/html>$/i)
    expect(await readdir(inside('real'))).toEqual(['plan'])
  })

  it('cannot be resumed', async () => {
    const { code, stderr } = await skrr(words(`${SELECT} --out - --resume`))
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: 'error: --resume: found --out -, expected a file with its journal beside it\n',
    })
  })

  it('whose reader went away ends the command without a stack', async () => {
    await copyFile(inside('ids.safetensors'), inside('again.safetensors'))
    const child = start(words(`${ENCODE} --out -`))
    child.stdout!.destroy()
    const messages = buffer(child.stderr!)
    await once(child, 'close')
    expect(child.exitCode).toBe(1)
    expect((await messages).toString()).toMatch(/^error: stdout: cannot be written: [^\n]*\n$/)
  })
})
