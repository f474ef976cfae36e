import { describe, expect, it } from 'vitest'
import { PRECISIONS } from '../../src/model/precision.js'
import { Plan } from '../../src/plan/plan.js'
import { programOf } from '../../src/select/measure/program.js'

const table = [0, 1, null, 1, 4, 5]
const inAll = (precision: (typeof PRECISIONS)[number]): Plan =>
  new Plan(table, { precisions: table.map(() => precision), scales: [1, 1, 1, 0.5, 0, 1] })

describe('a program', () => {
  it('names source, precision and scale of what runs', () => {
    const { key, steps } = programOf(inAll('int4'))
    expect(key).toBe('0:int4 1:int4 1:int4@0.5 5:int4')
    expect(steps.map(({ position }) => position)).toEqual([0, 1, 3, 5])
  })

  it('is another one in another precision, for all sub-blocks or for one', () => {
    const plan = inAll('bf16')
    const plans = [
      ...PRECISIONS.map(inAll),
      plan.with({ precisions: plan.precisions.with(5, 'int8') }),
      plan.with({ scales: undefined }),
    ]
    expect(new Set(plans.map((each) => programOf(each).key)).size).toBe(plans.length)
  })
})
