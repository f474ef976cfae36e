import type { z } from 'zod'
import { CheckpointError } from '../errors.js'

/**
 * Checks untrusted JSON. Schemas here carry, as each rule's error, what was expected in words; the value found is looked
 * up by the path of the first issue.
 */
export function check<T>(schema: z.ZodType<T>, value: unknown, file: string, field?: string): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]!
  const path = [...(field === undefined ? [] : [field]), ...issue.path.map(String)]
  throw new CheckpointError({
    file,
    field: path.length === 0 ? undefined : path.join('.'),
    found: show(issue.path.reduce(step, value)),
    expected: issue.message,
  })
}

const SHOWN = 80

/** A hostile value in a message: one line of JSON, bounded, whatever its size and depth. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = startOfJson(value, SHOWN + 1)
  return text.length > SHOWN ? `${text.slice(0, SHOWN - 3)}...` : text
}

/** The JSON of a parsed value, or the beginning of it: at least `wanted` characters of it. JSON.stringify would write it all. */
function startOfJson(value: unknown, wanted: number): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, wanted))
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const isArray = Array.isArray(value)
  let text = isArray ? '[' : '{'
  for (const key in value) {
    if (text.length >= wanted) return text
    if (text.length > 1) text += ','
    if (!isArray) text += `${startOfJson(key, wanted)}:`
    text += startOfJson((value as Record<string, unknown>)[key], wanted - text.length)
  }
  return text + (isArray ? ']' : '}')
}

function step(value: unknown, key: PropertyKey): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  return (value as Record<PropertyKey, unknown>)[key]
}
