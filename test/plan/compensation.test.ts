import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toFloat32 } from '../../src/model/half.js'
import { Plan, PlanError, readPlan, strip, writePlan } from '../../src/index.js'
import { weightBytes } from '../../src/select/measure/target.js'
import { temporaryFolder } from '../checkpoint/helpers.js'
import { t5xxl, tiny } from './models.js'

const base64 = (...bytes: number[]): string => Buffer.from(bytes).toString('base64')
const ONE = base64(0x80, 0x3f) // 1 in bf16
const message = (compensation: unknown): string => {
  try {
    Plan.parse({ format: 'skrr-plan', version: 1, table: [0, 1], compensation }, 'p.json')
  } catch (error) {
    expect(error).toBeInstanceOf(PlanError)
    return (error as Error).message
  }
  throw new Error('was accepted')
}

/** Rows of `width` of numbers that are bf16's own. */
const factors = (rank: number, width: number, from = 1) => ({
  rank,
  down: Float32Array.from({ length: rank * width }, (_, i) => (from + i) / 16),
  up: Float32Array.from({ length: rank * width }, (_, i) => -(from + i) / 16),
})

describe('a plan with a compensation', () => {
  it('comes back from its text and its file as it was', async () => {
    const plan = new Plan([0, 1], { compensation: factors(2, 16) })
    expect(plan.toJSON().compensation).toMatchObject({ rank: 2 })
    const path = join(await temporaryFolder(), 'plan.json')
    await writePlan(path, plan)
    for (const back of [Plan.parse(plan.stringify()), Plan.parse(plan.toJSON()), await readPlan(path)]) {
      expect(back.equals(plan)).toBe(true)
      expect(back.compensation).toEqual(plan.compensation)
      expect(back.stringify()).toBe(plan.stringify())
    }
  })

  it('of the largest rank at the width of T5-XXL is a file that is read', async () => {
    const plan = new Plan(Plan.dense(24).table, { compensation: factors(256, 4096, 1e5) })
    const path = join(await temporaryFolder(), 'plan.json')
    await writePlan(path, plan)
    expect((await readPlan(path)).equals(plan)).toBe(true)
  })

  it('holds its numbers as bf16 does, in arrays of its own', () => {
    fc.assert(
      fc.property(
        fc.float32Array({
          minLength: 1,
          maxLength: 20,
          noNaN: true,
          noDefaultInfinity: true,
          max: 2 ** 126,
          min: -(2 ** 126),
        }),
        (up) => {
          const given = { rank: 1, down: up, up: Float32Array.from(up) }
          const { compensation } = new Plan([0, 1], { compensation: given })
          up.fill(7)
          for (const [i, value] of compensation!.up.entries()) {
            expect(value).toBe(compensation!.down[i])
            expect(Math.abs(value - given.up[i]!)).toBeLessThanOrEqual(Math.abs(given.up[i]!) / 256 + 1e-40)
          }
          expect(Plan.parse(new Plan([0, 1], { compensation }).toJSON()).compensation).toEqual(compensation)
        },
      ),
    )
    expect(toFloat32('BF16', Buffer.from(ONE, 'base64'))).toEqual(Float32Array.of(1))
  })

  it('computes something else than one without, or with another', () => {
    const [plan, other] = [factors(2, 16), factors(2, 16, 2)].map(
      (c) => new Plan([0, 1], { compensation: c }),
    )
    expect(plan!.equals(new Plan([0, 1], { compensation: factors(2, 16) }))).toBe(true)
    expect(plan!.equals(other!)).toBe(false)
    expect(plan!.equals(new Plan([0, 1]))).toBe(false)
    expect(new Plan([0, 1]).equals(plan!)).toBe(false)
    expect(plan!.equals(new Plan([0, 1], { compensation: { ...factors(4, 8), rank: 4 } }))).toBe(false)
  })

  it('counts: 262,144 parameters of 4 bytes for rank 32 of T5-XXL', () => {
    const { table } = Plan.skip(24, [47])
    const bare = new Plan(table)
    const plan = new Plan(table, { compensation: factors(32, 4096, 1e5) })
    expect(plan.parameters(t5xxl) - bare.parameters(t5xxl)).toBe(262_144)
    expect(plan.sparsity(t5xxl)).toBe(bare.sparsity(t5xxl)) // what it adds is said apart
    expect(weightBytes(plan, t5xxl, 'int8') - weightBytes(bare, t5xxl, 'int8')).toBe(4 * 262_144)
    expect(strip(plan, { color: false })).toContain('1 skipped   + rank-32 compensation')
    expect(strip(bare, { color: false })).not.toContain('compensation')
  })

  it('fits a model of its width alone', () => {
    const plan = new Plan(Plan.dense(4).table, { compensation: factors(2, 12) })
    expect(() => plan.validate(tiny, 'p.json')).toThrow(/p.json: compensation: found rows of 12, expected 16/)
    new Plan(Plan.dense(4).table, { compensation: factors(3, 16) }).validate(tiny)
  })

  it('leaves it behind when the rest is worked into weights', () => {
    const compensation = factors(1, 16)
    const plan = new Plan([0, null], { scales: [0.5, 1], compensation, fingerprint: 'f' })
    expect(plan.remainder()).toMatchObject({ table: [0, 1], scales: [1, 1], fingerprint: 'f' })
    expect(plan.remainder()!.compensation).toEqual(plan.compensation)
    expect(new Plan([0, null]).remainder()).toBeUndefined()
  })

  it.each([
    [7, 'compensation: found 7, expected an object {"rank": R, "down": "...", "up": "..."}'],
    [{ rank: 1, down: ONE }, 'compensation.up: found nothing, expected bf16 numbers in base64'],
    [{ rank: 1, down: [1], up: ONE }, 'compensation.down: found an array of 1, expected bf16'],
    [{ rank: '1', down: ONE, up: ONE }, 'compensation.rank: found "1", expected a whole number'],
    [
      { rank: 1, down: ONE, up: ONE, bias: 1 },
      'compensation: found unknown field "bias", expected only rank, down, up',
    ],
    [{ rank: 0, down: ONE, up: ONE }, 'compensation.rank: found 0, expected a whole number of 1 to 256'],
    [{ rank: 1.5, down: ONE, up: ONE }, 'compensation.rank: found 1.5'],
    [{ rank: 257, down: ONE, up: ONE }, 'compensation.rank: found 257'],
    [{ rank: 1, down: '', up: '' }, 'compensation.down: found 0 numbers, expected rows for a rank of 1'],
    [{ rank: 2, down: ONE, up: ONE }, 'compensation.down: found 1 numbers, expected rows for a rank of 2'],
    [{ rank: 1, down: ONE, up: base64(0, 0, 0, 0) }, 'compensation.up: found 2 numbers, expected 1'],
    [{ rank: 1, down: 'gD8', up: ONE }, 'compensation.down: found "gD8", expected bf16 numbers'],
    [{ rank: 1, down: 'gD8=\n', up: ONE }, 'compensation.down: found'],
    [{ rank: 1, down: '<gD8=>', up: ONE }, 'compensation.down: found'],
    [
      { rank: 1, down: base64(1, 2, 3), up: ONE },
      'compensation.down: found "AQID", expected bf16 numbers, two bytes',
    ],
    [
      { rank: 1, down: ONE, up: base64(0x80, 0x7f) },
      'compensation.up[0]: found Infinity, expected a number that is',
    ],
    [{ rank: 1, down: base64(0xc0, 0xff), up: ONE }, 'compensation.down[0]: found NaN'],
  ])('%# %o is an error that names the field', (compensation, part) => {
    expect(message(compensation)).toContain(part)
    expect(message(compensation)).toMatch(/^p\.json: /)
  })

  it('is refused in memory as in a file', () => {
    const make = (c: object) => () => new Plan([0, 1], { compensation: { ...factors(1, 1), ...c } })
    expect(make({ down: [1] })).toThrow('compensation.down: found an array of 1, expected a Float32Array')
    expect(make({ up: Float32Array.of(NaN) })).toThrow('compensation.up[0]: found NaN')
    expect(make({ up: Float32Array.of(3.4e38) })).toThrow('finite in bf16') // rounds to infinity
  })
})
