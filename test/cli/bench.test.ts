import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { compare, EarlierReport } from '../../src/cli/bench-compare.js'
import { warningsOf } from '../../src/cli/bench-machine.js'
import { Plan } from '../../src/plan/plan.js'
import { skrr, skrrJson } from './run.js'

/** `skrr bench`: what the engine reaches here. Times are not tested, only that the figures agree with one another. */

interface Report {
  version: string
  commit: string | null
  date: string
  cpu: string
  cores: number
  isa: string
  threads: number
  load: number
  shape: string
  warnings: string[]
  comparison?: { slower: number; threshold: number; rows: { ratio: number; slower: boolean; ms: number }[] }
  device: string
  deviceName: string
  precision: string
  architecture: { width: number; subBlocks: unknown[] }
  ceilings: {
    memoryBytesPerSecond: number
    memoryBy: string
    multiplyFlopsPerSecond: number
    multiplyBy: string
    float32FlopsPerSecond: number
  }
  plans: { name: string; sparsity: number; table: (number | null)[] }[]
  rows: {
    what: string
    plan: string | null
    tokens: number
    ms: number
    lowerQuartileMs: number
    upperQuartileMs: number
    bytesPerSecond: number
    flopsPerSecond: number
    roofline: number
  }[]
}

const SMALL = ['bench', '--architecture', 't5-base', '--blocks', '2', '--repeats', '2', '--tokens', '3,20']

function check({ ceilings, rows }: Report): void {
  expect(ceilings.memoryBytesPerSecond).toBeGreaterThan(1e6)
  expect(ceilings.multiplyFlopsPerSecond).toBeGreaterThan(0)
  for (const row of rows) {
    expect(row.ms).toBeGreaterThan(0)
    expect(row.lowerQuartileMs).toBeLessThanOrEqual(row.ms)
    expect(row.upperQuartileMs).toBeGreaterThanOrEqual(row.ms)
    // Attention's part is held to float32's ceiling, the rest to the precision's. Each was measured in its own
    // moment: on a busy machine either may be the higher, so the whole is at least its share of the higher one.
    const share = Math.max(
      row.bytesPerSecond / ceilings.memoryBytesPerSecond,
      row.flopsPerSecond / Math.max(ceilings.multiplyFlopsPerSecond, ceilings.float32FlopsPerSecond),
    )
    expect(row.roofline).toBeGreaterThan(0.999 * share)
    expect(row.roofline, row.what).toBeLessThan(1.05)
  }
}

describe('skrr bench', () => {
  it('measures parts and encoders, dense and under a plan, at each length', async () => {
    const report = await skrrJson<Report>(SMALL)
    expect(report).toMatchObject({
      version: (JSON.parse(readFileSync('package.json', 'utf8')) as { version: string }).version,
      device: 'cpu',
      cpu: cpus()[0]!.model,
      cores: cpus().length,
      precision: 'bf16',
      architecture: { width: 768 },
    })
    expect(report.architecture.subBlocks).toHaveLength(4)
    expect(Date.now() - Date.parse(report.date)).toBeLessThan(300_000)
    expect(report.load).toBeGreaterThanOrEqual(0)
    expect(report.threads).toBeGreaterThan(0)
    expect(report.commit ?? 'none').toMatch(/^[0-9a-f]{7,40}(-dirty)?$|^none$/)
    expect(report.ceilings.memoryBy).toBe('a streaming read')
    expect(report.ceilings.multiplyBy).toBe(`${report.isa}'s instruction for bf16, from registers`)
    expect(report.plans.map(({ name }) => name)).toEqual(['dense', '1 of 4 skipped'])
    expect(report.plans[1]!.table.filter((source) => source === null)).toHaveLength(1)
    expect(report.rows.map(({ what, plan, tokens }) => [what, plan, tokens])).toEqual([
      ['attention', null, 3],
      ['attention', null, 20],
      ['feed-forward', null, 3],
      ['feed-forward', null, 20],
      ...[3, 20].flatMap((tokens) =>
        ['norm', 'q|k|v', 'softmax(q k^T + bias) v', 'o + stream'].map((part) => [part, null, tokens]),
      ),
      ...[3, 20].flatMap((tokens) => ['act(gate) x up', 'down + stream'].map((part) => [part, null, tokens])),
      ['encoder', 'dense', 3],
      ['encoder', 'dense', 20],
      ['encoder', '1 of 4 skipped', 3],
      ['encoder', '1 of 4 skipped', 20],
    ])
    check(report)
  })

  it('divides a sub-block into parts: their operations, and their weights, add up to its own', async () => {
    const { rows } = await skrrJson<Report>(SMALL)
    const counts = (what: string): { flops: number; bytes: number } => {
      const row = rows.find((row) => row.what === what && row.tokens === 20)!
      const seconds = row.ms / 1e3
      return {
        flops: Math.round(row.flopsPerSecond * seconds),
        bytes: Math.round(row.bytesPerSecond * seconds),
      }
    }
    const [qkv, softmax, o] = ['q|k|v', 'softmax(q k^T + bias) v', 'o + stream'].map(counts)
    expect(counts('attention')).toEqual({
      flops: qkv!.flops + softmax!.flops + o!.flops,
      bytes: qkv!.bytes + o!.bytes,
    })
    const [up, down] = ['act(gate) x up', 'down + stream'].map(counts)
    expect(counts('feed-forward')).toEqual({ flops: up!.flops + down!.flops, bytes: up!.bytes + down!.bytes })
  })

  it('prints a table and the strip of the plan', async () => {
    const { code, stdout } = await skrr([...SMALL, '--precision', 'int8'])
    expect(code).toBe(0)
    for (const part of [
      /GB\/s \(a streaming read\)/,
      /TFLOP\/s at best \(\w+'s instruction for int8, from registers\)/,
      /^feed-forward +20 /m,
      /^o \+ stream +20 /m,
      /^attn +/m,
      /1 skipped/,
    ]) {
      expect(stdout).toMatch(part)
    }
  })

  it('explains itself', async () => {
    const { code, stdout } = await skrr(['bench', '--help'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/--architecture <name>.*roofline/s)
  })

  it.each([
    [['--architecture', 't5-xxxl'], /Allowed choices are t5-xxl, t5-base/],
    [['--tokens', '1,none'], /whole numbers of 1 to 16384/],
    [['--blocks', '0'], /whole number of at least 1/],
    [['--threshold', 'much', '--compare', 'package.json'], /Expected a percentage, such as 5%/],
    [['--threshold', '5%'], /--threshold: found no --compare, expected both/],
    [['--compare', 'none.json'], /none\.json: cannot be read: there is no such file/],
    [['--compare', 'README.md'], /README\.md: is no JSON/],
    [
      ['--compare', 'package.json'],
      /package\.json: \w+: found nothing, expected a string\. Reports are written by/,
    ],
    [['--architecture', 't5-base', '--blocks', '13'], /--blocks: found 13, expected at most the 12/],
    [['--architecture', 't5-base', '--blocks', '2', '--plan', 'pixart-sigma-41.9'], /expected/],
    [['--device', 'gpu'], /auto, cpu, cuda or cuda:N/],
    [['--device', 'cuda', '--precision', 'int8'], /expected bf16 on device cuda/],
  ])('%j is an error that says what is expected', async (args, message) => {
    const { code, stdout } = await skrr(['bench', ...args, '--json'])
    expect(code).not.toBe(0)
    const { error } = JSON.parse(stdout) as { error: { message: string } }
    expect(error.message).toMatch(message)
  })
})

describe('skrr bench --compare', () => {
  const folder = mkdtempSync(join(tmpdir(), 'skrr-bench-'))
  afterAll(() => rmSync(folder, { recursive: true }))
  const TINY = ['bench', '--architecture', 't5-base', '--blocks', '1', '--repeats', '1', '--tokens', '9']
  let earlier: Report
  beforeAll(async () => {
    earlier = await skrrJson<Report>(TINY)
  }, 180_000)

  /** The report with times multiplied by `factor`, in a file. */
  function scaled(factor: number, more: object = {}): string {
    const file = join(folder, 'earlier.json')
    const rows = earlier.rows.map((row) => ({ ...row, ms: factor * row.ms }))
    writeFileSync(file, JSON.stringify({ ...earlier, ...more, rows }))
    return file
  }

  // far from 1, so that what else runs here decides nothing
  it('prints ratios, and fails where rows take longer than the threshold allows', async () => {
    const { code, stdout } = await skrr([...TINY, '--compare', scaled(1e-3), '--json'])
    expect(code).toBe(1)
    const { comparison } = JSON.parse(stdout) as Report
    expect(comparison).toMatchObject({ threshold: 0.05 })
    expect(comparison!.rows).toHaveLength(earlier.rows.length)
    expect(comparison!.slower).toBeGreaterThan(1)
    for (const { ratio, slower, ms } of comparison!.rows) {
      expect(ratio).toBeGreaterThan(1)
      expect(slower).toBe(ms >= 0.1)
    }
  })

  it('passes where none does', async () => {
    const { code, stdout } = await skrr([...TINY, '--compare', scaled(1e6), '--threshold', '3%'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/now \/ then/)
    expect(stdout).toMatch(new RegExp(`^0 of ${earlier.rows.length} rows take over 3.0 % longer$`, 'm'))
  })

  it.each([
    [{ precision: 'int8' }, /earlier\.json: precision: found "int8", expected "bf16"/],
    [{ shape: 't5-24x4096' }, /earlier\.json: shape: found "t5-24x4096", expected "t5-1x768/],
    [{ plans: 7 }, /earlier\.json: plans: found 7, expected a list/],
  ])('refuses a report with %j', async (more, message) => {
    const { code, stderr } = await skrr([...TINY, '--compare', scaled(1, more)])
    expect(code).toBe(1)
    expect(stderr).toMatch(message)
  })

  it('says which fields of the machine differ', () => {
    const { cpu, isa, threads } = earlier
    const of = (report: object) => new EarlierReport('old.json', { ...earlier, ...report })
    expect(of({}).differences({ cpu, isa, threads })).toEqual([])
    expect(of({ threads: 96 }).differences({ cpu, isa, threads: 4 })).toEqual([
      'threads is 4, and was 96 in old.json',
    ])
  })

  it('judges by the threshold, rows of one plan and length, from 0.1 ms on', () => {
    const row = (plan: string | null, tokens: number, ms: number) => ({ what: 'encoder', plan, tokens, ms })
    const dense = Plan.dense(1)
    const plans = [
      { name: 'dense', table: [...dense.table] },
      { name: 'mine', table: [0, null] },
    ]
    const rows = [row('dense', 1, 100), row('dense', 2, 0.01), row('mine', 1, 1), row('dense', 77, 100)]
    const old = new EarlierReport('old.json', { ...earlier, plans, rows })
    const now = [row('dense', 1, 104), row('dense', 2, 0.09), row('mine', 1, 9), row('dense', 77, 106)]
    const found = compare(old, now, { plans: { dense, mine: dense } }, 0.05)
    expect(found.rows.map(({ plan, tokens, slower }) => [plan, tokens, slower])).toEqual([
      ['dense', 1, false],
      ['dense', 2, false],
      ['dense', 77, true],
    ])
    expect(found.slower).toBe(1)
  })
})

describe('a busy machine', () => {
  const row = (seconds: number, spread: number) => ({
    ...{ seconds, lower: seconds * (1 - spread / 2), upper: seconds * (1 + spread / 2) },
  })

  it('is said, by its load before the start and by how far runs differ', () => {
    const quiet = [row(0.1, 0.02), row(0.2, 0.03), row(0.1, 0.9), row(1e-6, 2), row(2e-6, 2)]
    expect(warningsOf({ load: 0.4, cores: 2 }, quiet)).toEqual([])
    expect(warningsOf({ load: 0.6, cores: 2 }, quiet)).toEqual([
      expect.stringMatching(/a load of 0\.60 on 2 cores, expected at most 0\.50/),
    ])
    expect(warningsOf({ load: 0, cores: 2 }, [row(0.1, 0.02), row(0.2, 0.3), row(0.1, 0.9)])).toEqual([
      expect.stringMatching(/differ by 30\.0 % between their quartiles/),
    ])
  })
})
