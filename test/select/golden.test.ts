import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readProjection } from '../../src/select/measure/projection.js'
import { chooseReuse } from '../../src/select/moves/reuse.js'
import { searchSkips } from '../../src/select/moves/skip.js'
import { GOLDEN } from '../checkpoint/helpers.js'
import { goldenEvaluator, SKRR } from './harness.js'

interface GoldenRun {
  k: number
  target: number
  dedup_by_set: boolean
  projection: 'none' | 'pixart'
  steps: { expansions: { parent: number; add: number; skips: number[]; D: number }[]; kept: number[] }[]
  final_beams: { skips: number[]; D: number }[]
  reuse: Record<'pruning' | 'ascending', GoldenReuse>
}
interface GoldenReuse {
  trace: {
    i: number
    l: number | null
    r: number | null
    D_current: number
    D_l: number
    D_r: number
    choice: string
  }[]
  plan: number[]
  D: number
}

const runs = JSON.parse(readFileSync(join(SKRR, 'traces.json'), 'utf8')) as Record<string, GoldenRun>

/** Relative to the golden, which was computed in float64. */
const relative = (actual: number, golden: number): number => Math.abs(actual - golden) / golden

describe.each(Object.entries(runs))('the published algorithm, run %s', (_, golden) => {
  const evaluatorFor = async (naive: boolean) =>
    goldenEvaluator({
      naive,
      projection:
        golden.projection === 'none'
          ? undefined
          : await readProjection(join(GOLDEN, 'projections', `${golden.projection}.safetensors`), 64),
    })
  const search = {
    beams: golden.k,
    dedup: golden.dedup_by_set,
    reached: (skips: readonly number[]) => skips.length >= golden.target,
  }

  it('gives the D of every expansion within 1e-6, and the same beams at every step', async () => {
    const evaluator = await evaluatorFor(false)
    const { steps, beams } = await searchSkips(evaluator, { ...search, all: true })
    expect(steps.length).toBe(golden.steps.length)
    for (const [i, step] of steps.entries()) {
      const expected = golden.steps[i]!
      expect(step.kept).toEqual(expected.kept)
      expect(step.expansions.map(({ parent, add, skips }) => ({ parent, add, skips }))).toEqual(
        expected.expansions.map(({ parent, add, skips }) => ({ parent, add, skips })),
      )
      for (const [e, { D }] of step.expansions.entries()) {
        expect(relative(D!.total, expected.expansions[e]!.D)).toBeLessThan(1e-6)
      }
    }
    expect(beams.map(({ skips }) => skips)).toEqual(golden.final_beams.map(({ skips }) => skips))
  })

  it.each([
    ['pruned', 'pruning'],
    ['ascending', 'ascending'],
  ] as const)('re-uses as Algorithm 2 does, in order %s', async (order, name) => {
    const evaluator = await evaluatorFor(false)
    const expected = golden.reuse[name]
    const { plan, D, steps } = await chooseReuse(evaluator, golden.final_beams[0]!.skips, {
      order,
      all: true,
    })
    expect(plan.table.map((source) => source ?? -1)).toEqual(expected.plan)
    expect(relative(D.total, expected.D)).toBeLessThan(1e-6)
    for (const [i, step] of steps.entries()) {
      const { choice, l, r, D_l, D_r, D_current } = expected.trace[i]!
      expect([step.choice, step.left, step.right]).toEqual([choice, l, r])
      expect(relative(step.current.total, D_current)).toBeLessThan(1e-6)
      if (step.withLeft) expect(relative(step.withLeft.total, D_l)).toBeLessThan(1e-6)
      if (step.withRight) expect(relative(step.withRight.total, D_r)).toBeLessThan(1e-6)
    }
  })

  it('chooses the same with early abandoning and cached states as without, with less work', async () => {
    const [fast, naive] = [await evaluatorFor(false), await evaluatorFor(true)]
    const outcomes = []
    for (const evaluator of [fast, naive]) {
      const { beams } = await searchSkips(evaluator, search)
      const reuse = await chooseReuse(evaluator, beams[0]!.skips, { order: 'pruned' })
      outcomes.push({ beams, table: reuse.plan.table, D: reuse.D })
    }
    expect(outcomes[0]).toEqual(outcomes[1])
    expect(naive.work.naive).toBe(fast.work.naive)
    expect(naive.work.executed).toBeGreaterThan(3.5 * fast.work.executed)
  })
})
