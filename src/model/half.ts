import type { PlainEncoding } from './encoding.js'

/**
 * Short floating-point formats to float32 (exact) and back (round to nearest, ties to even), as bit patterns:
 *   F16      1-5-10, largest 65504, infinities
 *   BF16     1-8-7, the upper half of a float32
 *   F8_E4M3  1-4-3, the "fn" variant: largest 448, no infinities, NaN is 0x7f and 0xff
 * Overflow becomes infinity, in F8_E4M3 (which has none) NaN: what PyTorch does.
 */
const float = new Float32Array(1)
const bits = new Uint32Array(float.buffer)

export function f16ToFloat(half: number): number {
  return decode(half, 5, 10)
}

export function floatToF16(value: number): number {
  float[0] = value
  const sign = (bits[0]! >>> 16) & 0x8000
  const abs = bits[0]! & 0x7fffffff
  if (abs > 0x7f800000) return sign | 0x7e00
  if (abs >= 0x47800000) return sign | 0x7c00
  // below 2^-14 values are 2^-24 apart: adding 0.5, whose last bit is worth 2^-24, lets the hardware round
  if (abs < 0x38800000) return sign | roundAt(abs, 0.5)
  return sign | ((abs + 0xfff + ((abs >>> 13) & 1) - 0x38000000) >>> 13)
}

export function bf16ToFloat(half: number): number {
  bits[0] = half << 16
  return float[0]!
}

export function floatToBf16(value: number): number {
  float[0] = value
  const word = bits[0]!
  // rounding could carry a NaN's payload into infinity
  if ((word & 0x7fffffff) > 0x7f800000) return (word >>> 16) | 0x40
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16
}

export function f8ToFloat(byte: number): number {
  return (byte & 0x7f) === 0x7f ? NaN : decode(byte, 4, 3, true)
}

export function floatToF8(value: number): number {
  float[0] = value
  const sign = (bits[0]! >>> 24) & 0x80
  const abs = bits[0]! & 0x7fffffff
  // above 464 the nearest pattern is the one that means NaN
  if (abs > 0x43e80000) return sign | 0x7f
  // below 2^-6 values are 2^-9 apart, which the last bit of 2^14 is worth
  if (abs < 0x3c800000) return sign | roundAt(abs, 16384)
  return sign | ((abs + 0x7ffff + ((abs >>> 20) & 1) - 0x3c000000) >>> 20)
}

/** A whole tensor's little-endian bytes as float32; `bytes` may start anywhere in its buffer. */
export function toFloat32(dtype: PlainEncoding, bytes: Uint8Array): Float32Array {
  if (dtype === 'F8_E4M3') return Float32Array.from(bytes, (byte) => f8Table()[byte]!)
  // not slice(): a Buffer's does not copy
  const aligned = new Uint8Array(bytes)
  if (dtype === 'F32') return new Float32Array(aligned.buffer)
  const halves = new Uint16Array(aligned.buffer)
  const out = new Float32Array(halves.length)
  if (dtype === 'BF16') {
    const words = new Uint32Array(out.buffer)
    for (let i = 0; i < halves.length; i++) words[i] = halves[i]! << 16
  } else {
    for (let i = 0; i < halves.length; i++) out[i] = f16ToFloat(halves[i]!)
  }
  return out
}

/** Float32 values as a tensor's bytes. */
export function fromFloat32(dtype: PlainEncoding, values: Float32Array): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  if (dtype === 'F8_E4M3') return Uint8Array.from(values, floatToF8)
  const encode = dtype === 'BF16' ? floatToBf16 : floatToF16
  const out = new Uint16Array(values.length)
  for (let i = 0; i < values.length; i++) out[i] = encode(values[i]!)
  return new Uint8Array(out.buffer)
}

let table: Float32Array | undefined
const f8Table = (): Float32Array =>
  (table ??= Float32Array.from({ length: 256 }, (_, byte) => f8ToFloat(byte)))

/** |x| rounded to the last bit of `anchor`, counted in those bits. */
function roundAt(abs: number, anchor: number): number {
  bits[0] = abs
  float[0] = float[0]! + anchor
  const sum = bits[0]
  float[0] = anchor
  return sum - bits[0]
}

/** IEEE layout: sign, `e` exponent bits, `m` mantissa bits; with `finite` the highest exponent is an ordinary one. */
function decode(pattern: number, e: number, m: number, finite = false): number {
  const sign = pattern >>> (e + m) === 0 ? 1 : -1
  const exponent = (pattern >>> m) & ((1 << e) - 1)
  const mantissa = pattern & ((1 << m) - 1)
  const bias = (1 << (e - 1)) - 1
  if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - m)
  if (exponent === (1 << e) - 1 && !finite) return mantissa === 0 ? sign * Infinity : NaN
  return sign * ((1 << m) + mantissa) * 2 ** (exponent - bias - m)
}
