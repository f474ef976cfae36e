import { describe, expect, it } from 'vitest'
import { subBlockParameters } from '../../src/model/parameters.js'
import { Plan } from '../../src/plan/plan.js'
import type { Evaluator } from '../../src/select/measure/evaluator.js'
import { refine, type RefineStep } from '../../src/select/moves/refine.js'
import type { Fits } from '../../src/select/moves/swap.js'
import { goldenEvaluator } from './harness.js'

/** A target of the weights of `plan`. */
const noMoreThan = (plan: Plan, { architecture }: Evaluator): Fits => {
  const weigh = (loaded: readonly number[]): number =>
    loaded.reduce((sum, s) => sum + subBlockParameters(architecture, s), 0)
  return (loaded) => weigh(loaded) <= weigh(plan.sources())
}

describe('the local search', () => {
  it('only ever lowers D, and never takes more weights than it began with', async () => {
    const evaluator = await goldenEvaluator()
    const plan = Plan.skip(6, [0, 3, 8, 9, 10])
    const start = { plan, D: await evaluator.discrepancy(plan) }
    const steps: RefineStep[] = []
    const end = await refine(evaluator, start, noMoreThan(plan, evaluator), (step) => steps.push(step))
    let before = start.D.total
    for (const { D, plan: next } of steps) {
      expect(D.total).toBeLessThan(before)
      expect(D).toEqual(await evaluator.discrepancy(next))
      expect(next.parameters(evaluator.architecture)).toBeLessThanOrEqual(
        plan.parameters(evaluator.architecture),
      )
      before = D.total
    }
    expect(new Set(steps.map(({ move }) => move))).toContain('refill')
    expect(end.plan).toBe(steps.at(-1)!.plan)
  })

  it('finds an exchange that phase 1 missed', async () => {
    const evaluator = await goldenEvaluator()
    // the worst feed-forward to remove, by its D alone: a better one is there to be exchanged for
    const singles = await Promise.all(
      [1, 3, 5, 7, 9, 11].map(async (skip) => (await evaluator.discrepancy(Plan.skip(6, [skip]))).total),
    )
    const worst = [1, 3, 5, 7, 9, 11][singles.indexOf(Math.max(...singles))]!
    const plan = Plan.skip(6, [worst])
    const moves: string[] = []
    const start = { plan, D: await evaluator.discrepancy(plan) }
    const end = await refine(evaluator, start, noMoreThan(plan, evaluator), ({ move }) => moves.push(move))
    expect(moves).toContain('swap')
    expect(end.plan.table[worst]).toBe(worst)
    expect(end.D.total).toBeLessThan(Math.min(...singles))
  })

  it('runs a sub-block with its own weights again where the target leaves room for it', async () => {
    const evaluator = await goldenEvaluator()
    const plan = Plan.skip(6, [0, 3, 8, 10])
    const start = { plan, D: await evaluator.discrepancy(plan) }
    const steps: RefineStep[] = []
    const end = await refine(evaluator, start, noMoreThan(Plan.skip(6, [3]), evaluator), (step) =>
      steps.push(step),
    )
    expect(steps[0]!.move).toBe('restore')
    expect(end.plan.sources()).toHaveLength(11)
  })

  it('keeps a dense plan as it is', async () => {
    const evaluator = await goldenEvaluator()
    const plan = Plan.dense(6)
    const start = { plan, D: await evaluator.discrepancy(plan) }
    expect(await refine(evaluator, start, noMoreThan(plan, evaluator))).toBe(start)
  })
})
