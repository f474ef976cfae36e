import { describe, expect, it } from 'vitest'
import { subBlockParameters } from '../../src/model/parameters.js'
import { Plan } from '../../src/plan/plan.js'
import { searchJoint, type Removal } from '../../src/select/moves/joint.js'
import { searchSkips } from '../../src/select/moves/skip.js'
import { goldenEvaluator } from './harness.js'

// skrr's second start: what to skip and what to re-use in its place, chosen together (docs/selection.md).

const five = (skips: readonly number[]): boolean => skips.length >= 5
const chain = (end: Removal): Removal[] => (end.before ? [...chain(end.before), end] : [])

describe('the joint search', () => {
  it('removes one sub-block at a time, whose weights run nowhere from then on', async () => {
    const evaluator = await goldenEvaluator()
    const steps = chain(await searchJoint(evaluator, { beams: 2, reached: five }))
    expect(steps.map(({ skips }) => skips.length)).toEqual([1, 2, 3, 4, 5])
    for (const { skips, plan, D } of steps) {
      expect(plan.sources().filter((s) => skips.includes(s))).toEqual([])
      for (const s of plan.sources()) expect(plan.table[s]).toBe(s)
      expect(D).toEqual(await evaluator.discrepancy(plan))
    }
  })

  it('comes below skipping alone, and below every way to fill the last place', async () => {
    const evaluator = await goldenEvaluator()
    const end = await searchJoint(evaluator, { beams: 3, reached: five })
    const skipping = await searchSkips(evaluator, { beams: 3, dedup: true, reached: five })
    expect(end.D.total).toBeLessThan(skipping.beams[0]!.D.total)
    const last = end.skips.at(-1)!
    const skipped = new Plan(end.plan.table.with(last, null), { scales: end.plan.scales.with(last, 1) })
    expect(end.D.total).toBeLessThanOrEqual((await evaluator.discrepancy(skipped)).total)
  })

  it('takes first what raises D least for its size', async () => {
    const evaluator = await goldenEvaluator()
    const { skips } = await searchJoint(evaluator, { beams: 1, reached: ({ length }) => length > 0 })
    const price = async (s: number): Promise<number> =>
      (await evaluator.discrepancy(Plan.skip(6, [s]))).total / subBlockParameters(evaluator.architecture, s)
    const prices = await Promise.all(Array.from({ length: 12 }, (_, s) => price(s)))
    const cheapest = [...prices.keys()].sort((a, b) => prices[a]! - prices[b]!).slice(0, 2)
    expect(cheapest).toContain(skips[0]) // the two that were looked at with re-use in their place
  })

  it('gives the same plan where everything is measured in full', async () => {
    const [fast, naive] = [await goldenEvaluator(), await goldenEvaluator({ naive: true })]
    const [a, b] = [
      await searchJoint(fast, { beams: 2, reached: five }),
      await searchJoint(naive, { beams: 2, reached: five }),
    ]
    expect(chain(a).map(({ plan }) => plan)).toEqual(chain(b).map(({ plan }) => plan))
    expect(fast.work.executed).toBeLessThan(naive.work.executed / 2)
  })
})
