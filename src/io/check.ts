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

/** A hostile value in a message: one line, bounded. */
export function show(value: unknown): string {
  if (value === undefined) return 'nothing'
  const text = JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 77)}...` : text
}

function step(value: unknown, key: PropertyKey): unknown {
  if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
  return (value as Record<PropertyKey, unknown>)[key]
}
