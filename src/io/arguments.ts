import { z } from 'zod'
import { InputError } from '../errors.js'
import { fieldName, show, valueAt } from './show.js'

/**
 * What callers without types can get wrong, checked once, where it comes in. Objects are strict: a misspelt option that is ignored
 * in silence gives wrong results. Each rule's error says in words what was expected.
 */

export const is = <T>(test: (value: unknown) => boolean, expected: string): z.ZodType<T> =>
  z.custom<T>(test, { error: expected })

/** Also of a class whose constructor is private. */
export const instance = <T>(type: { readonly prototype: T }, expected: string): z.ZodType<T> =>
  is<T>((value) => value instanceof (type as unknown as new () => T), expected)

export const text = is<string>((value) => typeof value === 'string', 'a string')
export const flag = is<boolean>((value) => typeof value === 'boolean', 'true or false')
export const number = is<number>((value) => typeof value === 'number', 'a number')
export const callback = <F>(): z.ZodType<F> => is<F>((value) => typeof value === 'function', 'a function')

export const whole = (from: number, to = Number.MAX_SAFE_INTEGER): z.ZodType<number> =>
  is(
    (n) => Number.isSafeInteger(n) && Number(n) >= from && Number(n) <= to,
    to === Number.MAX_SAFE_INTEGER
      ? `a whole number of at least ${from}`
      : `a whole number of ${from} to ${to}`,
  )

export const oneOf = <const T extends string>(...names: readonly T[]): z.ZodType<T> =>
  is(
    (value) => (names as readonly unknown[]).includes(value),
    names.join(', ').replace(/, ([^,]*)$/, ' or $1'),
  )

// by what it does, since polyfills and other realms have classes of their own
export const abortSignal = is<AbortSignal>(
  (value) => typeof value === 'object' && value !== null && 'throwIfAborted' in value,
  'an AbortSignal',
)

/** More threads than any machine has; each one costs a stack. */
export const threadCount = whole(1, 1024)

/** An object of these fields, each of which may be absent. */
export const optionsOf = <T extends z.ZodRawShape>(shape: T) =>
  z.strictObject(shape, { error: 'an object' }).partial()

/** An argument as the schema has it. @throws InputError that names it, or the field of it that is wrong */
export function checkArgument<T>(
  schema: z.ZodType<T>,
  value: unknown,
  name: string,
  within: readonly PropertyKey[] = [],
): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]!
  const field = fieldName([...within, ...issue.path]) ?? name
  if (issue.code === 'unrecognized_keys') {
    const found = `unknown ${issue.keys.map((key) => show(key)).join(', ')}`
    const known = schema instanceof z.ZodObject ? Object.keys(schema.shape).join(', ') : 'known fields'
    throw new InputError({ field, found, expected: `only ${known}` })
  }
  throw new InputError({ field, found: show(valueAt(value, issue.path)), expected: issue.message })
}

/** @throws InputError where it is no string */
export const checkPath = (path: unknown, name = 'path'): string => checkArgument(text, path, name)
