import { describe, expect, it } from 'vitest'
import { ratioOf } from '../../bench/before-after/ratio.js'

/** Milliseconds of 21 turns on a machine that is now and then up to twice as slow. */
const turns = Array.from({ length: 21 }, (_, i) => 100 * (1 + ((i * i * 7) % 21) / 21))
/** A few per cent of noise that differs from turn to turn. */
const noisy = (values: readonly number[], factor = 1): number[] =>
  values.map((ms, i) => factor * ms * (1 + (((i * 13) % 7) - 3) / 200))

describe('the ratio of two builds', () => {
  it('is 1 within its interval for one build beside itself', () => {
    const { ratio, low, high } = ratioOf(turns, noisy(turns))
    expect(low).toBeLessThanOrEqual(1)
    expect(high).toBeGreaterThanOrEqual(1)
    expect(ratio).toBeCloseTo(1, 1)
  })

  it('tells a build that is a tenth slower, though the machine varies by more', () => {
    const { ratio, high } = ratioOf(turns, noisy(turns, 1.1))
    expect(ratio).toBeCloseTo(1 / 1.1, 1)
    expect(high).toBeLessThan(0.97)
  })

  it('is the same for the same times', () => {
    expect(ratioOf(turns, noisy(turns))).toEqual(ratioOf(turns, noisy(turns)))
  })
})
