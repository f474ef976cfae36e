import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  bf16ToFloat,
  f16ToFloat,
  f8ToFloat,
  floatToBf16,
  floatToF16,
  floatToF8,
  fromFloat32,
  toFloat32,
} from '../../src/model/half.js'

const FORMATS = [
  { name: 'F16', patterns: 65536, sign: 0x8000, decode: f16ToFloat, encode: floatToF16 },
  { name: 'BF16', patterns: 65536, sign: 0x8000, decode: bf16ToFloat, encode: floatToBf16 },
  { name: 'F8_E4M3', patterns: 256, sign: 0x80, decode: f8ToFloat, encode: floatToF8 },
] as const

describe.each(FORMATS)('$name', ({ name, patterns, sign, decode, encode }) => {
  /** Magnitudes in order of their patterns, which is the order of their values. */
  const finite = Array.from({ length: sign }, (_, i) => decode(i)).filter(Number.isFinite)

  it('every pattern survives the way to float32 and back', () => {
    for (let i = 0; i < patterns; i++) {
      const value = decode(i)
      if (Number.isNaN(value)) expect(decode(encode(value))).toBeNaN()
      else expect(encode(value)).toBe(i)
    }
  })
  it('patterns are in the order of their values', () => {
    expect(finite.every((value, i) => i === 0 || value > finite[i - 1]!)).toBe(true)
  })
  it('a float rounds to the nearest value, a tie to the even pattern', () => {
    const float = fc.oneof(
      fc.float({ noNaN: true, noDefaultInfinity: true }),
      fc.float({ min: -500, max: 500, noNaN: true }),
      // exact ties
      fc.nat(finite.length - 2).map((i) => Math.fround((finite[i]! + finite[i + 1]!) / 2)),
    )
    fc.assert(
      fc.property(float, (x) => {
        const pattern = encode(x)
        const magnitude = Math.abs(x)
        expect(pattern >= sign).toBe(Object.is(x, -0) || x < 0)
        const got = Math.abs(decode(pattern))
        if (!Number.isFinite(got)) {
          const step = finite.at(-1)! - finite.at(-2)!
          expect(magnitude >= finite.at(-1)! + step / 2).toBe(true)
          return
        }
        const index = pattern & (sign - 1)
        const error = Math.abs(got - magnitude)
        for (const other of [index - 1, index + 1]) {
          const neighbour = finite[other]
          if (neighbour === undefined) continue
          const distance = Math.abs(neighbour - magnitude)
          expect(error < distance || (error === distance && index % 2 === 0)).toBe(true)
        }
      }),
      { numRuns: 5000 },
    )
  })
  it('whole tensors convert like single values, from any place in a buffer', () => {
    const values = Float32Array.from({ length: 99 }, (_, i) => (i - 50) / 7)
    const bytes = fromFloat32(name, values)
    const shifted = new Uint8Array(bytes.length + 1)
    shifted.set(bytes, 1)
    expect(toFloat32(name, Buffer.from(shifted.buffer, 1))).toEqual(values.map((x) => decode(encode(x))))
  })
})

it('known values', () => {
  expect(f16ToFloat(0x3c00)).toBe(1)
  expect(f16ToFloat(0x7bff)).toBe(65504)
  expect(f16ToFloat(1)).toBe(2 ** -24)
  expect(floatToF16(65520)).toBe(0x7c00)
  expect(floatToF16(65519)).toBe(0x7bff)
  expect(bf16ToFloat(0x3f80)).toBe(1)
  expect(floatToBf16(3.4e38)).toBe(0x7f80)
  expect(f8ToFloat(0x7e)).toBe(448)
  expect(f8ToFloat(0x01)).toBe(2 ** -9)
  expect(floatToF8(464)).toBe(0x7e)
  expect(floatToF8(465)).toBe(0x7f)
  expect(floatToF8(-Infinity)).toBe(0xff)
})
