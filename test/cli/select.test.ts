import { once } from 'node:events'
import { copyFile, readdir, readFile, stat } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { writeSafetensors } from '../../src/export/write.js'
import { readPlan } from '../../src/plan/file.js'
import type { Trace } from '../../src/select/index.js'
import { keptFolder } from '../checkpoint/helpers.js'
import { golden } from '../golden.js'
import { v01 } from '../v0.1.js'
import { skrr, skrrJson, start } from './run.js'

/** `skrr select`, as scripts and people use it. */

const folder = keptFolder()
const inside = (name: string): string => join(folder(), name)
const MODEL = golden('t5-tiny-v11')

beforeAll(async () => {
  const tensors = await readTensors(golden('t5-tiny-v11-skrr', 'inputs.safetensors'))
  for (const name of ['calibration', 'null']) {
    const { data, shape } = tensors.get(`${name}.input_ids`)!
    const bytes = new Uint8Array((data as Int32Array).buffer)
    await writeSafetensors(inside(`${name}.safetensors`), [
      { name: 'input_ids', dtype: 'I32', shape, data: bytes },
    ])
  }
})

const select = (out: string, ...options: string[]): string[] => [
  ...['select', '--model', MODEL, '--out', inside(out), ...options],
  ...['--input-ids', inside('calibration.safetensors'), '--null', inside('null.safetensors')],
]

interface GoldenRun {
  target: number
  dedup_by_set: boolean
  projection: string
  steps: Trace['steps']
  final_beams: Trace['final_beams']
  reuse: NonNullable<Trace['reuse']>
}
const runs = JSON.parse(readFileSync(golden('t5-tiny-v11-skrr', 'traces.json'), 'utf8')) as Record<
  string,
  GoldenRun
>

/** Numbers to a millionth, for comparing with what was computed in float64. */
function expectNear(actual: unknown, expected: unknown, path = ''): void {
  if (typeof expected === 'number' && !Number.isInteger(expected)) {
    expect(Math.abs((actual as number) / expected - 1), path).toBeLessThan(1e-6)
  } else if (typeof expected === 'object' && expected !== null) {
    for (const [key, value] of Object.entries(expected)) {
      if (key.startsWith('smallest_')) continue
      expectNear((actual as Record<string, unknown>)[key], value, `${path}.${key}`)
    }
  } else {
    expect(actual, path).toEqual(expected)
  }
}

describe('skrr select --method paper', () => {
  it.each(['proj-none.k3.duplicates', 'proj-pixart.k3.dedup'])(
    'reproduces the golden run %s',
    async (name) => {
      const run = runs[name]!
      const expected = run.reuse.pruning!
      await skrrJson(
        select(
          `${name}.json`,
          ...['--method', 'paper', '--skip-count', String(run.target), '--trace', inside(`${name}.trace`)],
          ...(run.dedup_by_set ? ['--dedup'] : []),
          ...(run.projection === 'none' ? [] : ['--projection', golden('projections/pixart.safetensors')]),
        ),
      )
      const plan = await readPlan(inside(`${name}.json`))
      expect(plan.table.map((source) => source ?? -1)).toEqual(expected.plan)
      const trace = JSON.parse(await readFile(inside(`${name}.trace`), 'utf8')) as Trace
      expectNear(trace.steps, run.steps)
      expectNear(trace.final_beams, run.final_beams)
      expectNear(trace.reuse!.pruning, expected)
    },
  )
})

describe('skrr select --compensate', () => {
  it('writes a plan with the map, which inspect and encode know, and says what it was worth', async () => {
    const options = ['--method', 'paper', '--beams', '1', '--skip-count', '4', '--compensate', '4']
    const { stdout } = await skrr(select('compensated.json', ...options))
    expect(stdout).toMatch(/compensation +rank 4: D on prompts left out of the fit 0\.\d+, with it 0\.\d+/)
    expect((await readPlan(inside('compensated.json'))).compensation!.rank).toBe(4)
    const inspected = await skrr(['inspect', '--model', MODEL, '--plan', inside('compensated.json')])
    expect(inspected.stdout).toMatch(/compensation +rank 4 adds 512 parameters .*, 2\.05 kB/)
    expect(inspected.stdout).toContain('+ rank-4 compensation')
    const again = await skrrJson(select('bare.json', ...options, '--compensate', '0'))
    expect(again).not.toHaveProperty('compensation')
  })
})

describe('skrr select', () => {
  it('writes a plan that encode takes, and reports what it found and did', async () => {
    const report = await skrrJson<{ sparsity: number; bytes: number; D: { total: number }; work: { executed: number; naive: number } }>(
      select('ours.json', '--sparsity', '0.3'),
    ) // prettier-ignore
    expect(report.sparsity).toBeGreaterThanOrEqual(0.3)
    expect(report.D.total).toBeGreaterThan(0)
    expect(report.work.executed).toBeLessThan(report.work.naive / 2)
    const encoded = await skrrJson<{ sparsity: number }>([
      ...['encode', '--model', MODEL, '--plan', inside('ours.json'), '--out', inside('out.safetensors')],
      ...['--input-ids', inside('calibration.safetensors')],
    ])
    expect(encoded.sparsity).toBe(report.sparsity)
    const { stdout } = await skrr(select('again.json', '--sparsity', '0.3'))
    expect(stdout).toMatch(/block .*\nattn .*\nffn [^]*sparsity +\d+\.\d %[^]*times fewer than naive/)
    expect(await readFile(inside('again.json'), 'utf8')).toBe(await readFile(inside('ours.json'), 'utf8'))
    expect((await readdir(folder())).filter((name) => name.endsWith('journal'))).toEqual([])
  })

  it('killed with -9 goes on with --resume to the identical plan', async () => {
    const child = start(select('killed.json', '--skip-count', '3'))
    const exited = once(child, 'exit')
    const journal = inside('killed.json.journal')
    while (((await stat(journal).catch(() => undefined))?.size ?? 0) === 0) await setTimeout(5)
    await setTimeout(200)
    child.kill('SIGKILL')
    await exited
    await skrrJson(select('killed.json', '--skip-count', '3', '--resume'))
    await skrrJson(select('whole.json', '--skip-count', '3'))
    expect(await readFile(inside('killed.json'), 'utf8')).toBe(await readFile(inside('whole.json'), 'utf8'))
  })

  it.each([
    ['', 'Start anew'],
    ['--resume', 'Start anew, without --resume'],
  ])('says the whole command that starts anew on a journal of an older version, %s', async (option, hint) => {
    const journal = inside('old plan.json.journal')
    await copyFile(v01('search/stopped.json.journal'), journal)
    const given = select('old plan.json', '--skip-count', '1', '--json')
    const { code, stdout } = await skrr(option === '' ? given : [...given, option])
    expect(code).toBe(1)
    const { message } = (JSON.parse(stdout) as { error: { message: string } }).error
    const words = given.map((word) => (word.includes(' ') ? `'${word}'` : word))
    expect(message).toContain(`${hint}: rm '${journal}' && skrr ${words.join(' ')}`)
  })

  it('with --report writes a page, with --compare the other methods on it', async () => {
    const page = inside('report.html')
    const options = ['--skip-count', '3', '--method', 'paper', '--report', page]
    const report = await skrrJson<{ report: string; D: { total: number } }>(select('shown.json', ...options))
    expect(report.report).toBe(page)
    const alone = await readFile(page, 'utf8')
    expect(alone).toContain(report.D.total.toPrecision(4))
    expect(alone).toContain(`--plan ${inside('shown.json')}`)
    expect(alone).toContain('Residual stream') // the similarity maps
    expect(alone).not.toContain('shortgpt')
    await skrrJson(select('shown.json', ...options, '--compare'))
    const compared = await readFile(page, 'utf8')
    for (const method of ['paper', 'skrr', 'finercut', 'shortgpt', 'laco']) expect(compared).toContain(method)
  })

  it.each([
    ['no target', [], /target: found none, expected one of --sparsity, --bytes, --skip-count/],
    ['two targets', ['--sparsity', '0.3', '--bytes', '5'], /target: found 2 of them/],
    ['both kinds of beams', ['--skip-count', '1', '--dedup', '--duplicates'], /--dedup and --duplicates/],
    ['a comparison that nothing shows', ['--skip-count', '1', '--compare'], /--compare: found no --report/],
    ['bytes that the embedding alone exceeds', ['--bytes', '9'], /target.bytes: found 9.*token embedding/],
    ['a projection of another width', ['--skip-count', '1', '--projection', golden('t5-odd/model.safetensors')], /no projection module/], // prettier-ignore
    ['a folder for the plan that is not there', ['--skip-count', '1', '--out', '/nowhere/plan.json'], /nowhere\/plan.json: cannot be written/], // prettier-ignore
  ])('refuses %s', async (_, options, message) => {
    const { code, stdout } = await skrr([...select('refused.json'), ...options, '--json'])
    expect(code).toBe(1)
    expect((JSON.parse(stdout) as { error: { message: string } }).error.message).toMatch(message)
  })
})
