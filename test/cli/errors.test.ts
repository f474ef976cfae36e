import { once } from 'node:events'
import { mkdir, readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { execFileSync, spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { setTimeout } from 'node:timers/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { writeSynthetic } from '../../src/export/synthetic.js'
import { writeSafetensors } from '../../src/export/write.js'
import { keptFolder, promptModel, temporaryFolder } from '../checkpoint/helpers.js'
import { golden } from '../golden.js'
import { t5Architecture } from '../../src/families/t5.js'
import { tinySizes } from '../plan/models.js'
import { outcome, skrr, start } from './run.js'

const folder = keptFolder()
const inside = (name: string): string => join(folder(), name)
const V11 = golden('t5-tiny-v11')

beforeAll(async () => {
  await promptModel(inside('model'))
  const input_ids = new Uint8Array(Int32Array.of(5, 999, 1).buffer)
  await writeSafetensors(inside('bad-id.safetensors'), [
    { name: 'input_ids', dtype: 'I32', shape: [1, 3], data: input_ids },
  ])
  await writeFile(inside('plan.json'), '{"format":"skrr-plan","version":1,"table":[0,1]}')
  await mkdir(inside('bert'))
  await writeFile(inside('bert/config.json'), '{"model_type":"bert"}')
  await writeFile(inside('empty.txt'), '')
  await writeFile(inside('cats.txt'), 'a cat\n')
  execFileSync('mkfifo', [inside('pipe')])
  await writeFile(inside('latin1.txt'), Buffer.from('caf\xe9', 'latin1'))
})

/** What an error says, each beside the whole message. */
const PARTS = ['file', 'field', 'found', 'expected', 'hint']
describe('a command that cannot be done', () => {
  /** [what, arguments with @ for the folder, code of the error, what its message says] */
  const prompt = '--model @/model --prompt cat'
  it.each([
    [
      'a model that is not there',
      'encode --model @/none --prompt cat --out @/o',
      'ERR_CHECKPOINT',
      '@/none: cannot be opened: there is no such file',
    ],
    [
      'a plan of another model',
      `encode ${prompt} --plan @/plan.json --out @/o`,
      'ERR_PLAN',
      '@/plan.json: table: found 2 entries, expected 8',
    ],
    [
      'no such preset',
      `encode ${prompt} --plan pixart --out @/o`,
      'ERR_PLAN',
      'pixart: found neither a file nor a preset',
    ],
    [
      'a preset of another depth',
      `encode ${prompt} --plan flux:3 --out @/o`,
      'ERR_PLAN',
      'found a model of 4 blocks',
    ],
    [
      'nothing to encode',
      'encode --model @/model --out @/o',
      'ERR_INPUT',
      'input: found none, expected one of --prompt',
    ],
    [
      'two kinds of input',
      `encode ${prompt} --prompts @/empty.txt --out @/o`,
      'ERR_INPUT',
      'input: found 2 kinds',
    ],
    [
      'prompts that are not there',
      'encode --model @/model --prompts @/none --out @/o',
      'ERR_INPUT',
      '@/none: cannot be read: there is no such file',
    ],
    [
      'an empty file of prompts',
      'encode --model @/model --prompts @/empty.txt --out @/o',
      'ERR_INPUT',
      '@/empty.txt: found an empty file',
    ],
    [
      'prompts in another encoding',
      'encode --model @/model --prompts @/latin1.txt --out @/o',
      'ERR_INPUT',
      '@/latin1.txt: found bytes that are not UTF-8',
    ],
    [
      'an id out of the vocabulary',
      `encode --model ${V11} --input-ids @/bad-id.safetensors --out @/o`,
      'ERR_INPUT',
      'inputIds[0, 1]: found id 999, expected 0 to 255',
    ],
    [
      'ids under another name',
      `encode --model ${V11} --inputs-embeds @/bad-id.safetensors --out @/o`,
      'ERR_INPUT',
      'inputs_embeds: found no such tensor, only input_ids',
    ],
    [
      'ids that are no safetensors',
      `encode --model ${V11} --input-ids @/plan.json --out @/o`,
      'ERR_INPUT',
      '@/plan.json',
    ],
    [
      'no tokenizer',
      `encode --model ${V11} --prompt cat --out @/o`,
      'ERR_TOKENIZER',
      'found no tokenizer.json, spiece.model or tokenizer.model',
    ],
    [
      'an output folder that is not there',
      `encode ${prompt} --out @/none/o`,
      'ERR_OUTPUT',
      '@/none/o: cannot be written: there is no such file or folder',
    ],
    [
      'an output that is a folder',
      `encode ${prompt} --out @/model`,
      'ERR_OUTPUT',
      '@/model: cannot be written: it is a folder',
    ],
    [
      'a result that nobody could keep, before anything else is looked at',
      'encode --model @/none --prompt cat --out @/none/o',
      'ERR_OUTPUT',
      '@/none/o: cannot be written: there is no such file or folder',
    ],
    [
      'an output below a file',
      `encode ${prompt} --out @/plan.json/o`,
      'ERR_OUTPUT',
      'a part of the path is not a folder',
    ],
    [
      'an export into a full folder',
      'export --model @/model --plan dense --out @/model',
      'ERR_OUTPUT',
      'found a folder with',
    ],
    [
      'a model of another kind',
      'inspect --model @/bert',
      'ERR_CHECKPOINT',
      '@/bert/config.json: model_type: found "bert", a BERT encoder, expected a T5-family encoder or a CLIP text encoder',
    ],
  ])(
    '%s: exit code 1, one line on stderr; with --json an object on stdout',
    async (_, line, code, message) => {
      const args = line.replaceAll('@', folder()).split(' ')
      const text = message.replaceAll('@', folder())
      const before = await readdir(folder())

      const plain = await skrr(args)
      expect(plain).toMatchObject({ code: 1, stdout: '' })
      expect(plain.stderr).toMatch(/^error: [^\n]*\n$/)
      expect(plain.stderr).toContain(text)

      const json = await skrr([...args, '--json'])
      expect(json).toMatchObject({ code: 1, stderr: '' })
      const { error } = JSON.parse(json.stdout) as { error: Record<string, string> }
      expect(error['code']).toBe(code)
      expect(error['message']).toContain(text)
      expect(`error: ${error['message']}\n`).toBe(plain.stderr)
      for (const part of PARTS) expect(error['message']).toContain(error[part] ?? '')
      if (message.includes('found ')) expect(error).toHaveProperty('found')
      expect(await readdir(folder())).toEqual(before)
    },
  )
})

it('an error in JSON has all its parts', async () => {
  const args = ['encode', '--model', V11, '--prompt', 'cat', '--out', inside('o'), '--json']
  const { stdout } = await skrr(args)
  const parts = {
    file: V11,
    found: 'no tokenizer.json, spiece.model or tokenizer.model beside the weights',
    expected: 'one, to encode prompts',
    hint: 'Give its path as `tokenizer` (CLI: --tokenizer), or pass inputIds',
  }
  const message = `${V11}: found ${parts.found}, expected ${parts.expected}. ${parts.hint}`
  expect(JSON.parse(stdout)).toEqual({ error: { code: 'ERR_TOKENIZER', message, ...parts } })
})

describe('a command line that cannot be understood', () => {
  it.each([
    ['an unknown command', 'enocde', "unknown command 'enocde'"],
    ['an unknown option', 'encode --model x --prompt a --out o --pipline flux', "unknown option '--pipline'"],
    ['a missing option', 'encode --model x --prompt a', "required option '--out <file>' not specified"],
    [
      'an unknown precision',
      'encode --model x --prompt a --out o --precision int3',
      "argument 'int3' is invalid. Allowed choices are f32, bf16, int8, int4",
    ],
    [
      'an unknown device',
      'encode --model x --prompt a --out o --device tpu',
      'Expected auto, cpu, cuda or cuda:N',
    ],
    [
      'no threads',
      'encode --model x --prompt a --out o --threads 0',
      'Expected a whole number of at least 1',
    ],
    ['an argument too many', 'inspect --model x y', 'too many arguments'],
  ])('%s: exit code 1, and --json keeps to JSON', async (_, line, message) => {
    const { code, stderr } = await skrr(line.split(' '))
    expect(code).toBe(1)
    expect(stderr).toContain(`error: `)
    expect(stderr).toContain(message)
    const json = await skrr([...line.split(' '), '--json'])
    expect(json.code).toBe(1)
    expect(JSON.parse(json.stdout)).toMatchObject({ error: { code: 'ERR_INPUT' } })
    expect(json.stdout).toContain(message)
  })
})

/** Of every option that names a file to read, with a model that takes it. */
const READS = {
  '--prompts': 'encode --model @/model --out @/o --prompts',
  '--input-ids': `encode --model ${V11} --out @/o --input-ids`,
  '--inputs-embeds': `encode --model ${V11} --out @/o --inputs-embeds`,
  '--null': 'select --model @/model --prompts @/cats.txt --skip-count 1 --out @/o --null',
  '--projection': 'select --model @/model --prompts @/cats.txt --skip-count 1 --out @/o --projection',
}
const NO_FILES = [
  ['a folder', '@/model', /: found a folder, expected a file/],
  ['empty', '@/empty.txt', /: found (an empty file|0 bytes)/],
  ['a pipe', '@/pipe', /: found a device, pipe or socket, expected a file/],
  ['a device', '/dev/zero', /: found a device, pipe or socket, expected a file/],
] as const

describe.each(Object.entries(READS))('what %s names', (option, words) => {
  it.each(NO_FILES)('is refused by its name where it is %s', async (_, path, message) => {
    const at = (text: string): string => text.replaceAll('@', folder())
    const { code, stdout } = await skrr([...at(words).split(' '), at(path), '--json'])
    expect(code).toBe(1)
    const { error } = JSON.parse(stdout) as { error: Record<string, string> }
    expect(error, option).toMatchObject({ code: 'ERR_INPUT', file: at(path) })
    expect(error['message']).toMatch(message)
  })
})

describe('help', () => {
  it('is what skrr alone shows', async () => {
    const { code, stderr } = await skrr([])
    expect(code).toBe(1) // nothing was done
    for (const command of ['encode', 'inspect', 'export']) expect(stderr).toContain(`  ${command} [options]`)
  })

  it.each(['encode', 'inspect', 'export'])('of %s ends with examples', async (command) => {
    const { code, stdout } = await skrr([command, '--help'])
    expect(code).toBe(0)
    expect(stdout).toContain(`Examples:\n  $ skrr ${command} `)
    expect(stdout).toContain('--model <path>')
  })

  it('says its version', async () => {
    const { version } = JSON.parse(await readFile('package.json', 'utf8')) as { version: string }
    expect(await skrr(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' })
  })
})

// The weights' file is open while the command works on it; the kernel tells by the process's descriptors.
async function untilOpen(child: ChildProcess, file: string): Promise<void> {
  const folder = `/proc/${child.pid}/fd`
  for (;;) {
    const names = await readdir(folder).catch(() => [])
    const files = await Promise.all(names.map((name) => readlink(join(folder, name)).catch(() => '')))
    if (files.includes(file)) return
    if (child.exitCode !== null) throw new Error('ended before it opened its weights')
    await setTimeout(2)
  }
}

const dist = (path: string): string => pathToFileURL(join(import.meta.dirname, '../../dist', path)).href

describe.runIf(process.platform === 'linux')('Ctrl-C', () => {
  it('ends work with exit code 130, and leaves what was there', async () => {
    const ids = new Uint8Array(new Int32Array(40_000).fill(7).buffer)
    const [long, out] = [inside('long.safetensors'), join(await temporaryFolder(), 'out.safetensors')]
    await writeSafetensors(long, [{ name: 'input_ids', dtype: 'I32', shape: [1, 40_000], data: ids }])
    await writeFile(out, 'of yesterday')
    const child = start(['encode', '--model', V11, '--input-ids', long, '--out', out])
    const ended = outcome(child)
    await untilOpen(child, join(V11, 'model.safetensors'))
    child.kill('SIGINT')
    expect(await ended).toEqual({ code: 130, stdout: '', stderr: 'interrupted\n' })
    expect(await readFile(out, 'utf8')).toBe('of yesterday')
    expect(await readdir(join(out, '..'))).toEqual(['out.safetensors'])
  })

  it('ends the wait for prompts on stdin', async () => {
    const child = start(['encode', '--model', inside('model'), '--prompts', '-', '--out', inside('o')])
    const ended = outcome(child)
    // more than a pipe holds: once it is drained, the command reads
    if (!child.stdin!.write('a cat\n'.repeat(1 << 18))) await once(child.stdin!, 'drain')
    child.kill('SIGINT')
    expect(await ended).toEqual({ code: 130, stdout: '', stderr: 'interrupted\n' })
  })

  it.each([
    ['SIGINT', 130, 'interrupted'],
    ['SIGTERM', 143, 'terminated'],
    ['SIGHUP', 129, 'hung up'],
  ] as const)('and %s in an export leave no folder behind', async (signal, code, word) => {
    const [model, parent] = [inside(`large-${signal}`), await temporaryFolder()]
    await mkdir(join(parent, 'out'))
    const architecture = t5Architecture({
      ...tinySizes,
      ...{ blocks: 2, width: 1024, heads: 16, headDim: 64, ff: 4096 },
    })
    await writeSynthetic(model, architecture, { dtype: 'F32', seed: 1 })
    const child = start(['export', '--model', model, '--out', join(parent, 'out')])
    const ended = outcome(child)
    while ((await readdir(parent)).length === 1) await setTimeout(2) // the folder under its other name
    child.kill(signal)
    expect(await ended).toEqual({ code, stdout: '', stderr: `${word}\n` })
    expect(await readdir(parent)).toEqual(['out'])
    expect(await readdir(join(parent, 'out'))).toEqual([])
  })

  it('twice ends a command at once, and leaves nothing either', async () => {
    const parent = await temporaryFolder()
    const code = `
      import { writeFolderAtomically } from ${JSON.stringify(dist('io/atomic.js'))}
      import { action } from ${JSON.stringify(dist('cli/command.js'))}
      const never = new Promise((resolve) => setTimeout(resolve, 60_000)) // work that takes no notice of an abort
      await action(() => writeFolderAtomically(${JSON.stringify(join(parent, 'out'))}, () => never))({})`
    const child = spawn(process.execPath, ['--input-type=module', '-e', code], { stdio: 'pipe' })
    const ended = outcome(child)
    while ((await readdir(parent)).length === 0) await setTimeout(2)
    child.kill('SIGTERM')
    await setTimeout(50)
    expect(child.exitCode).toBe(null)
    child.kill('SIGINT')
    expect(await ended).toEqual({ code: 130, stdout: '', stderr: '' })
    expect(await readdir(parent)).toEqual([])
  })
})
