import { PlanError } from '../errors.js'
import { show } from '../io/show.js'

/** Forms of what callers without types may give for a plan or a part of it. */

/** Whether it is a sub-block of `count`. */
export const isIndex = (value: unknown, count: number): value is number =>
  Number.isInteger(value) && Number(value) >= 0 && Number(value) < count

/** @throws PlanError */
export function checkArray(
  value: unknown,
  field: string,
  expected: string,
  file: string | undefined,
): asserts value is readonly unknown[] {
  if (!Array.isArray(value)) throw new PlanError({ file, field, found: show(value), expected })
}

/** The name of a file, for messages. @throws PlanError */
export function checkFile(value: unknown): void {
  if (value === undefined || typeof value === 'string') return
  throw new PlanError({ field: 'file', found: show(value), expected: 'a string, or none' })
}

/** @throws PlanError for what is no object, or has other fields */
export function checkFields(value: unknown, known: readonly string[], what: string, file?: string): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new PlanError({
      file,
      field: what,
      found: show(value),
      expected: `an object of ${known.join(', ')}`,
    })
  }
  const other = Object.keys(value).find((key) => !known.includes(key))
  if (other === undefined) return
  throw new PlanError({
    file,
    field: what,
    found: `unknown ${show(other)}`,
    expected: `only ${known.join(', ')}`,
  })
}

/** @throws PlanError */
export function checkFingerprint(value: unknown, file: string | undefined): void {
  if (value === undefined || typeof value === 'string') return
  throw new PlanError({ file, field: 'fingerprint', found: show(value), expected: 'a string' })
}
