import { z } from 'zod'
import { CheckpointError } from '../errors.js'
import { inWords, MAX_ELEMENTS, type Range } from './limits.js'

/** Rules for the numbers of a config.json; each carries, as its error, what is expected. */

export const integer = (range: Range): z.ZodInt => {
  const expected = inWords(range)
  return z.int(expected).min(range.min, expected).max(range.max, expected)
}

// of float32's normal numbers: smaller ones are zero to the engine
const SMALLEST = 2 ** -126

export const epsilon = z
  .number('a small positive number')
  .min(SMALLEST, 'a positive number')
  .max(1, 'at most 1')

/** A factor or a period: the engine computes in float32. */
export const positive = z
  .number('a positive number')
  .min(SMALLEST, 'a positive number')
  .max(1e30, 'a number up to 1e30')

/** @throws CheckpointError for a matrix whose elements no int can count */
export function checkMatrix(file: string, field: string, rows: number, columns: number): void {
  if (rows * columns <= MAX_ELEMENTS) return
  const found = `a matrix of ${rows} x ${columns}`
  throw new CheckpointError({ file, field, found, expected: `at most ${MAX_ELEMENTS} elements` })
}
