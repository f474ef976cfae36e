import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { t5Architecture, T5_V11_DEMO, T5_V11_DEMO_SIZES } from '../../src/families/t5.js'
import { illustrativePlan } from '../../src/demo/plan.js'

describe('the plan of the demonstration', () => {
  it('is of about 42 % sparsity for the model it makes, with skips and scaled re-use', () => {
    const plan = illustrativePlan(T5_V11_DEMO, 0.42)
    expect(Math.abs(plan.sparsity(T5_V11_DEMO) - 0.42)).toBeLessThan(0.015)
    expect(plan.skipped().length).toBeGreaterThan(0)
    expect(Object.keys(plan.reused()).length).toBeGreaterThan(0)
    expect(new Set(plan.scales)).toEqual(new Set([1, 0.5]))
  })
  it('fits a model of any depth and leaves its first and last block alone', () => {
    const depth = fc.integer({ min: 1, max: 48 })
    const share = fc.double({ min: 0, max: 0.9, noNaN: true })
    fc.assert(
      fc.property(depth, share, (blocks, sparsity) => {
        const architecture = t5Architecture({ ...T5_V11_DEMO_SIZES, blocks })
        const plan = illustrativePlan(architecture, sparsity)
        plan.validate(architecture)
        const last = 2 * blocks - 1
        for (const p of [0, 1, last - 1, last]) expect(plan.table[p]).toBe(p)
      }),
      { numRuns: 50 },
    )
  })
})
