import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Plan } from '../../src/plan/plan.js'
import type { Candidate, Evaluator } from '../../src/select/measure/evaluator.js'
import { NEAR_TIE, rank } from '../../src/select/measure/rank.js'

/** An evaluator of made-up errors: errors[plan][chunk]. Counts what it is asked to measure. */
function made(errors: readonly (readonly number[])[]) {
  const plans = errors.map((_, i) => Plan.skip(40, [i % 80]))
  let measured = 0
  const evaluator = {
    naive: false,
    chunks: errors[0]!.map(() => ({})),
    candidate: (plan: Plan) => ({ plan, errors: errors[plans.indexOf(plan)] }),
    request: () => undefined,
    measure: ({ errors: row }: Candidate, chunk: number) => {
      measured++
      return Promise.resolve(row[chunk]!)
    },
    total: ({ errors: row }: Candidate) => ({
      total: row.reduce((a, b) => a + b, 0),
      calibration: 0,
      null: 0,
    }),
    failFastOrder: () => errors[0]!.map((_, chunk) => chunk),
  }
  return { evaluator: evaluator as unknown as Evaluator, plans, measured: () => measured }
}

const rows = fc
  .tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 6 }))
  .chain(([plans, chunks]) =>
    fc.array(fc.array(fc.nat(20), { minLength: chunks, maxLength: chunks }), {
      minLength: plans,
      maxLength: plans,
    }),
  )

describe('rank', () => {
  it('finds the k smallest, the first of equals first, as sorting all would', async () => {
    await fc.assert(
      fc.asyncProperty(rows, fc.integer({ min: 1, max: 4 }), async (errors, k) => {
        const { evaluator, plans } = made(errors)
        const ranked = await rank(evaluator, plans, k)
        const totals = errors.map((row) => row.reduce((a, b) => a + b, 0))
        const sorted = [...totals.keys()].sort((a, b) => totals[a]! - totals[b]! || a - b)
        expect(ranked.slice(0, k).map(({ index }) => index)).toEqual(sorted.slice(0, k))
      }),
    )
  })

  it('gives up a plan as soon as it has gathered more than the best has in all', async () => {
    const { evaluator, plans, measured } = made([
      [1, 1, 1, 1],
      [9, 9, 9, 9],
      [2, 3, 9, 9],
    ])
    expect((await rank(evaluator, plans, 1)).map(({ index }) => index)).toEqual([0])
    expect(measured()).toBe(4 + 1 + 2)
  })

  it('ranks by what D buys, where that is given, and gives up no plan too early for it', async () => {
    const { evaluator, plans } = made([
      [1, 1],
      [2, 2],
      [3, 6],
    ])
    const ranked = await rank(evaluator, plans, 2, { per: [1, 3, 6] })
    expect(ranked.map(({ index, value }) => [index, value])).toEqual([
      [1, 4 / 3],
      [2, 3 / 2],
    ])
  })

  it('lets order, not rounding, decide between D values nearer than one millionth', async () => {
    const { evaluator, plans } = made([[2], [1 + NEAR_TIE / 2], [1], [1 + 3 * NEAR_TIE]])
    const ranked = await rank(evaluator, plans, 2)
    expect(ranked.slice(0, 2).map(({ index }) => index)).toEqual([1, 2])
  })

  it('looks for nothing at or above a given D', async () => {
    const { evaluator, plans } = made([[3], [4]])
    expect(await rank(evaluator, plans, 1, { below: 3 })).toEqual([])
  })
})
