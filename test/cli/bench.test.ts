import { describe, expect, it } from 'vitest'
import { skrr, skrrJson } from './run.js'

/** `skrr bench`: what the engine reaches here. Times are not tested, only that the figures agree with one another. */

interface Report {
  device: string
  deviceName: string
  precision: string
  architecture: { width: number; subBlocks: unknown[] }
  ceilings: { copyBytesPerSecond: number; multiplyFlopsPerSecond: number; product: string }
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
  expect(ceilings.copyBytesPerSecond).toBeGreaterThan(1e6)
  expect(ceilings.multiplyFlopsPerSecond).toBeGreaterThan(0)
  for (const row of rows) {
    expect(row.ms).toBeGreaterThan(0)
    expect(row.lowerQuartileMs).toBeLessThanOrEqual(row.ms)
    expect(row.upperQuartileMs).toBeGreaterThanOrEqual(row.ms)
    const share = Math.max(
      row.bytesPerSecond / ceilings.copyBytesPerSecond,
      row.flopsPerSecond / ceilings.multiplyFlopsPerSecond,
    )
    expect(row.roofline).toBeCloseTo(share, 6)
  }
}

describe('skrr bench', () => {
  it('measures parts and encoders, dense and under a plan, at each length', async () => {
    const report = await skrrJson<Report>(SMALL)
    expect(report).toMatchObject({
      device: 'cpu',
      precision: 'bf16',
      architecture: { width: 768 },
    })
    expect(report.architecture.subBlocks).toHaveLength(4)
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
      /GB\/s, read and written/,
      /TFLOP\/s at best/,
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
