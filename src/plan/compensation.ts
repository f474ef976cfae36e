import { fromFloat32, toFloat32 } from '../model/half.js'
import { PlanError } from '../errors.js'
import { checkFields } from './form.js'
import { show } from '../io/show.js'

/**
 * A low-rank linear map of the encoder's output, after the final norm, that undoes a part of what a plan changes:
 *
 *     y' = y + sum over j < rank of (down_j . y) up_j
 *
 * Factors are bf16 numbers, little-endian in base64 in a plan's file; the engine holds and multiplies them as float32.
 */
export interface Compensation {
  readonly rank: number
  /** [rank, width], row-major. A plan's own arrays must be neither written to nor transferred. */
  readonly down: Float32Array
  readonly up: Float32Array
}

/** A compensation in a plan's file. */
export interface CompensationFile {
  readonly rank: number
  readonly down: string
  readonly up: string
}

/** Beyond it no gain is worth its terms; it bounds the file. */
export const MAX_RANK = 256

const FACTORS = ['down', 'up'] as const

/** The numbers in each factor of compensations that were checked: plans derived from one another share them. */
const checked = new WeakMap<Compensation, number>()

/** A copy, rounded to bf16. @throws PlanError for one that is malformed */
export function checkedCompensation(given: Compensation, file: string | undefined): Compensation {
  checkFields(given, ['rank', ...FACTORS], 'compensation', file)
  if (checked.has(given)) return intact(given, file)
  const { rank } = given
  const bad = (field: string, found: string, expected: string) =>
    new PlanError({ file, field: `compensation.${field}`, found, expected })
  if (!Number.isInteger(rank) || rank < 1 || rank > MAX_RANK) {
    throw bad('rank', show(rank), `a whole number of 1 to ${MAX_RANK}`)
  }
  const rounded = FACTORS.map((name) => {
    const values: unknown = given[name]
    if (!(values instanceof Float32Array)) throw bad(name, show(values), 'a Float32Array')
    if (values.length === 0 || values.length % rank !== 0) {
      throw bad(name, `${values.length} numbers`, `rows for a rank of ${rank}: a multiple of it`)
    }
    const factor = toFloat32('BF16', fromFloat32('BF16', values))
    const index = factor.findIndex((value) => !Number.isFinite(value))
    if (index >= 0) throw bad(`${name}[${index}]`, String(values[index]), 'a number that is finite in bf16')
    return factor
  })
  const [down, up] = rounded as [Float32Array, Float32Array]
  if (up.length !== down.length) throw bad('up', `${up.length} numbers`, `${down.length}, as many as in down`)
  const compensation = Object.freeze({ rank, down, up })
  checked.set(compensation, down.length)
  return compensation
}

/** A plan's compensation, with its numbers still there. @throws PlanError where a buffer was transferred to another thread */
export function intact(compensation: Compensation, file?: string): Compensation {
  for (const name of FACTORS) {
    const numbers = compensation[name].length
    const expected = checked.get(compensation) ?? numbers
    if (numbers === expected) continue
    throw new PlanError({
      file,
      field: `compensation.${name}`,
      found: `${numbers} numbers`,
      expected: `the ${expected} it had`,
      hint: 'Its buffer was transferred or resized; give away a copy of it',
    })
  }
  return compensation
}

/** @throws PlanError for text that is not base64 */
export function readCompensation(
  { rank, down, up }: CompensationFile,
  file: string | undefined,
): Compensation {
  const decode = (field: string, text: string): Float32Array => {
    const bytes = Buffer.from(text, 'base64')
    // Node skips what is not base64
    if (bytes.toString('base64') === text && bytes.length % 2 === 0) return toFloat32('BF16', bytes)
    throw new PlanError({
      file,
      field: `compensation.${field}`,
      found: show(text),
      expected: 'bf16 numbers, two bytes each, in base64',
    })
  }
  return { rank, down: decode('down', down), up: decode('up', up) }
}

/** @throws PlanError where a buffer was transferred */
export function writeCompensation(compensation: Compensation): CompensationFile {
  const { rank, down, up } = intact(compensation)
  const encode = (values: Float32Array): string => Buffer.from(fromFloat32('BF16', values)).toString('base64')
  return { rank, down: encode(down), up: encode(up) }
}

export const compensationWidth = ({ rank, down }: Compensation): number => down.length / rank
export const compensationParameters = ({ down, up }: Compensation): number => down.length + up.length

export function sameCompensation(a: Compensation | undefined, b: Compensation | undefined): boolean {
  if (a === b || a === undefined || b === undefined) return a === b
  const same = (x: Float32Array, y: Float32Array): boolean =>
    x.length === y.length && x.every((value, i) => value === y[i])
  return a.rank === b.rank && same(a.down, b.down) && same(a.up, b.up)
}
