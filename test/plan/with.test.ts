import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Plan, type PlanChanges } from '../../src/plan/plan.js'
import { rewired } from '../../src/select/moves/wiring.js'

const full = new Plan([0, 1, 0, 3], {
  scales: [1, 1, 0.5, 1],
  precisions: ['int8', null, null, 'bf16'],
  compensation: { rank: 1, down: Float32Array.of(1, 2), up: Float32Array.of(3, 4) },
  fingerprint: 'a model',
  provenance: { method: 'by hand' },
})
const other: Required<PlanChanges> = {
  table: [0, null, 0, 3],
  scales: [1, 1, 0.25, 1],
  precisions: ['int4', null, null, null],
  compensation: undefined,
  fingerprint: 'another',
  provenance: { method: 'by another' },
}
type Field = keyof PlanChanges
const fields = Object.keys(other) as Field[]
const finding: readonly Field[] = ['table', 'scales', 'compensation']

describe('a plan derived by `with`', () => {
  it('has what was changed and keeps the rest; provenance goes with what it speaks of', () => {
    fc.assert(
      fc.property(fc.subarray(fields), (changed) => {
        const changes = Object.fromEntries(changed.map((field) => [field, other[field]]))
        const plan = full.with(changes)
        for (const field of fields) {
          const gone = field === 'provenance' && changed.some((each) => finding.includes(each))
          const kept = gone ? undefined : full[field]
          expect(plan[field], field).toEqual(changed.includes(field) ? other[field] : kept)
        }
      }),
    )
  })

  it('keeps its provenance where a field is changed to what it was', () => {
    const { table, scales, compensation } = full
    expect(full.with({ table, scales: [...scales], compensation }).provenance).toEqual(full.provenance)
  })

  it('is as well-formed as any other', () => {
    expect(() => full.with({ table: [1, 0, 2, 3] })).toThrow(/table\[0\]/)
    expect(() => full.with({ table: [0, 1] })).toThrow(/scales: found 4 entries, expected 2/)
    expect(full.with({ table: [null, 1, null, 3] }).precisions).toEqual([null, null, null, 'bf16'])
    expect(full.with({ table: [null, 1, null, 3] }).scales).toEqual([1, 1, 1, 1])
  })

  it('of a search differs in one place, and is no longer what its provenance says', () => {
    const plan = rewired(full, 1, 3, 0.75)
    expect(plan.table).toEqual([0, 3, 0, 3])
    expect(plan.scales).toEqual([1, 0.75, 0.5, 1])
    expect(plan.precisions).toEqual(full.precisions)
    expect(plan.compensation).toBe(full.compensation)
    expect(plan.fingerprint).toBe(full.fingerprint)
    expect(plan.provenance).toBeUndefined()
  })

  it('of what no weights hold is dense, with the compensation and the model it is for', () => {
    const rest = full.remainder()!
    expect(rest.equals(Plan.dense(2).with({ compensation: full.compensation }))).toBe(true)
    expect(rest.fingerprint).toBe('a model')
    expect(rest.provenance).toBeUndefined()
    expect(full.with({ compensation: undefined }).remainder()).toBeUndefined()
  })
})
