/**
 * What the numbers of an encoder may be, as a file says them or its shapes imply them. Far above any model there is: products stay
 * exact, and no file sizes memory at will. The binding checks them again (binding/limits.h).
 */
export interface Range {
  readonly min: number
  readonly max: number
}

export const LIMITS = {
  width: { min: 1, max: 1 << 16 },
  blocks: { min: 1, max: 1024 },
  heads: { min: 1, max: 1024 },
  headDim: { min: 1, max: 1024 },
  /** Of a feed-forward. */
  inner: { min: 1, max: 1 << 20 },
  vocab: { min: 0, max: 1 << 24 },
  /** Half of them are for one direction, half of those for exact distances: with fewer there are none. */
  buckets: { min: 4, max: 4096 },
  maxDistance: { min: 1, max: 1 << 24 },
  /** Of a window, of a context. */
  distance: { min: 0, max: 1 << 24 },
  /** Rows of a position table. */
  positions: { min: 1, max: 1 << 20 },
} as const satisfies Record<string, Range>

/** Of one matrix. */
export const MAX_ELEMENTS = 2 ** 31 - 1

export const isWithin = (value: number, { min, max }: Range): boolean =>
  Number.isInteger(value) && value >= min && value <= max

export const inWords = ({ min, max }: Range): string => `an integer from ${min} to ${max}`
