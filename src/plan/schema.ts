import { z } from 'zod'
import { PlanError } from '../errors.js'
import { PRECISIONS, type Precision } from '../model/precision.js'
import type { CompensationFile } from './compensation.js'
import { firstDuplicateKey } from '../io/json-keys.js'
import { isSmallJson } from '../io/json-size.js'
import { fieldName, isPlain, show, valueAt } from '../io/show.js'

/** Any JSON value; a plan's provenance is an object of them. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }
export type JsonObject = Readonly<Record<string, Json>>

/** A plan's file. Fields are written in the order given here. */
export interface PlanFile {
  readonly format: 'skrr-plan'
  readonly version: 1
  /** [2 x blocks] the sub-block whose weights run at this position, or null where it is skipped. */
  readonly table: readonly (number | null)[]
  /** [2 x blocks] factor on each residual; absent where all are 1. */
  readonly scales?: readonly number[] | undefined
  /** [2 x blocks] the precision of a sub-block's weights, null for the encoder's own; absent where all are null. */
  readonly precisions?: readonly (Precision | null)[] | undefined
  /** A low-rank map of the encoder's output; absent where there is none. */
  readonly compensation?: CompensationFile | undefined
  readonly geometry?: { readonly fingerprint: string } | undefined
  readonly provenance?: Readonly<Record<string, unknown>> | undefined
}

const BASE64 = 'bf16 numbers in base64'

// `error` says what was expected; what was found is read from the input at the issue's path.
// Strict: a misspelt `scale` that is ignored in silence gives wrong embeddings. Free notes go into `provenance`.
const schema = z.strictObject(
  {
    format: z.literal('skrr-plan', { error: '"skrr-plan"' }),
    version: z.literal(1, { error: '1, the only version this skrr reads' }),
    table: z.array(z.int({ error: 'a sub-block index or null' }).nullable(), {
      error: 'an array with a sub-block index or null for each sub-block',
    }),
    scales: z
      .array(z.number({ error: 'a finite number' }), { error: 'an array of residual scales' })
      .optional(),
    precisions: z
      .array(z.enum(PRECISIONS, { error: `one of ${PRECISIONS.join(', ')} or null` }).nullable(), {
        error: 'an array with a precision or null for each sub-block',
      })
      .optional(),
    compensation: z
      .strictObject(
        {
          rank: z.number({ error: 'a whole number' }),
          down: z.string({ error: BASE64 }),
          up: z.string({ error: BASE64 }),
        },
        { error: 'an object {"rank": R, "down": "...", "up": "..."}' },
      )
      .optional(),
    geometry: z
      .strictObject(
        { fingerprint: z.string({ error: 'a string' }) },
        { error: 'an object {"fingerprint": "..."}' },
      )
      .optional(),
    // z.record would drop a key named __proto__
    provenance: z.custom<Record<string, unknown>>(isObject, { error: 'an object' }).optional(),
  },
  { error: 'a plan: an object {"format": "skrr-plan", "version": 1, "table": [...]}' },
)

/** Characters outside of strings: a table of 2,048 positions has 10,000. More would hold up the event loop. */
const MAX_CHARACTERS = 256 << 10

/** A plan's text as JSON, with no key twice in one object. */
export function parsePlanJson(text: string, file: string | undefined): unknown {
  if (!isSmallJson(text, MAX_CHARACTERS)) {
    const found = `more than ${MAX_CHARACTERS} characters outside of strings`
    throw new PlanError({ file, found, expected: 'a plan, which has some thousand' })
  }
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new PlanError({ file, found: `text that is not JSON (${why})`, expected: 'a plan' }, { cause })
  }
  const twice = firstDuplicateKey(text)
  if (twice === undefined) return json
  throw new PlanError({ file, found: `the key ${show(twice)} twice`, expected: 'each key once' })
}

/** Checks the form of a parsed JSON value; what the numbers mean is checked by Plan. */
export function checkPlanFile(json: unknown, file: string | undefined): PlanFile {
  const result = schema.safeParse(json)
  if (result.success) return result.data
  const issue = result.error.issues[0]!
  if (issue.code === 'unrecognized_keys') {
    const [part] = issue.path
    const inside = part === 'geometry' ? ['fingerprint'] : ['rank', 'down', 'up']
    const known = part === undefined ? Object.keys(schema.shape) : inside
    throw new PlanError({
      file,
      field: fieldName(issue.path),
      found: `unknown field ${issue.keys.map((key) => show(key)).join(', ')}`,
      expected: `only ${known.join(', ')}`,
      hint: 'Notes of your own belong into "provenance"',
    })
  }
  throw new PlanError({
    file,
    field: fieldName(issue.path),
    found: show(valueAt(json, issue.path)),
    expected: issue.message,
  })
}

const MAX_DEPTH = 32
const MAX_VALUES = 5000

/**
 * A frozen copy of a provenance, or a PlanError where it is not JSON. Bounded in size and in depth, so that neither a cycle nor
 * ten thousand nested brackets can exhaust the stack here or in a later JSON.stringify.
 */
export function frozenProvenance(value: Readonly<Record<string, unknown>>, file?: string): JsonObject {
  let values = 0
  const copy = (part: unknown, field: string, depth: number): Json => {
    const bad = (found: string) => new PlanError({ file, field, found, expected: 'plain JSON' })
    if (depth > MAX_DEPTH) throw bad(`more than ${MAX_DEPTH} nested levels`)
    if (++values > MAX_VALUES) throw bad(`more than ${MAX_VALUES} values`)
    if (part === null || typeof part === 'string' || typeof part === 'boolean') return part
    if (typeof part === 'number' && Number.isFinite(part)) return part
    if (Array.isArray(part)) return Object.freeze(part.map((p, i) => copy(p, `${field}[${i}]`, depth + 1)))
    if (typeof part !== 'object' || !isPlain(part)) throw bad(show(part))
    const entries = Object.entries(part).map(([key, p]) => [key, copy(p, `${field}.${key}`, depth + 1)])
    return Object.freeze(Object.fromEntries(entries) as Record<string, Json>)
  }
  if (isObject(value)) return copy(value, 'provenance', 0) as JsonObject
  throw new PlanError({ file, field: 'provenance', found: show(value), expected: 'an object' })
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
