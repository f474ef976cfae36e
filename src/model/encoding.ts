/**
 * How weights are stored: elements of a block, and its bytes. The first four have safetensors' names; a block of int8 or int4 is
 * 64 inputs of 32 outputs (checkpoint/packed.ts). The engine's order is the same (engine/encoding.h).
 */
const TABLE = {
  F32: { elements: 1, bytes: 4 },
  F16: { elements: 1, bytes: 2 },
  BF16: { elements: 1, bytes: 2 },
  F8_E4M3: { elements: 1, bytes: 1 },
  int8: { elements: 2048, bytes: 2048 },
  int4: { elements: 2048, bytes: 1088 },
} as const

export type Encoding = keyof typeof TABLE
export const ENCODINGS = Object.keys(TABLE) as readonly Encoding[]

/** Bytes of a block; a block of a plain encoding is one element. */
export const blockBytes = (encoding: Encoding): number => TABLE[encoding].bytes

/** Encodings whose elements are stored one by one. */
export type PlainEncoding = 'F32' | 'F16' | 'BF16' | 'F8_E4M3'
export const PLAIN_ENCODINGS = ENCODINGS.filter(
  (name) => TABLE[name].elements === 1,
) as readonly PlainEncoding[]
export const isPlainEncoding = (name: string): name is PlainEncoding =>
  (PLAIN_ENCODINGS as readonly string[]).includes(name)
