import { types } from 'node:util'
import { z } from 'zod'
import { MAX_CALL_TOKENS } from './batch.js'
import { DEVICE_NAMES, isDevice } from './device.js'
import type { EncodeOptions, EncoderInput, LoadOptions } from './encoder.js'
import { InputError } from './errors.js'
import type { EstimateOptions } from './memory.js'
import type { Device } from './native.js'
import { pipelines, type PipelineName } from './pipelines.js'
import { Plan } from './plan/plan.js'
import { PRECISIONS } from './precision.js'
import { fieldName, show, valueAt } from './show.js'

/**
 * What callers without types can get wrong, checked once, where it comes in. Objects are strict: a misspelt `pipeline` or
 * `attentionMask` that is ignored in silence gives wrong embeddings. Each rule's error says in words what was expected.
 */

/** More threads than any machine has; each one costs a stack. */
const MAX_THREADS = 1024
/** Attention is quadratic in the length of a prompt. */
const MAX_PROMPT_TOKENS = 65_536

const is = <T>(test: (value: unknown) => boolean, expected: string): z.ZodType<T> =>
  z.custom<T>(test, { error: expected })
const text = is<string>((value) => typeof value === 'string', 'a string')
const flag = is<boolean>((value) => typeof value === 'boolean', 'true or false')
const callback = <F>(): z.ZodType<F> => is<F>((value) => typeof value === 'function', 'a function')
const whole = (from: number, to: number): z.ZodType<number> =>
  is(
    (n) => Number.isSafeInteger(n) && Number(n) >= from && Number(n) <= to,
    `a whole number of ${from} to ${to}`,
  )
const oneOf = <const T extends string>(...names: readonly T[]): z.ZodType<T> =>
  is(
    (value) => (names as readonly unknown[]).includes(value),
    names.join(', ').replace(/, ([^,]*)$/, ' or $1'),
  )
// by what it does, since polyfills and other realms have classes of their own
const signal = is<AbortSignal>(
  (value) => typeof value === 'object' && value !== null && 'throwIfAborted' in value,
  'an AbortSignal',
)
const plan = is<Plan | string>(
  (value) => typeof value === 'string' || value instanceof Plan,
  "a Plan, a plan file or a preset's name",
)

const options = <T extends z.ZodRawShape>(shape: T) => z.strictObject(shape, { error: 'an object' }).partial()

const load = {
  plan,
  device: is<'auto' | Device>((value) => typeof value === 'string' && isDevice(value), DEVICE_NAMES),
  precision: oneOf(...PRECISIONS),
  threads: whole(1, MAX_THREADS),
  tokenizer: text,
  textEncoder: text,
  signal,
  onProgress: callback<NonNullable<LoadOptions['onProgress']>>(),
}

const schemas = {
  load: options(load) satisfies z.ZodType<LoadOptions>,
  estimate: options({
    ...load,
    tokens: whole(1, MAX_CALL_TOKENS),
    longest: whole(1, MAX_CALL_TOKENS),
  }) satisfies z.ZodType<LoadOptions & EstimateOptions>,
  setPlan: options({ signal, onProgress: load.onProgress, release: flag }),
  encode: options({
    pipeline: oneOf(...(Object.keys(pipelines) as PipelineName[])),
    maxTokens: whole(1, MAX_PROMPT_TOKENS),
    output: oneOf('f32', 'bf16', 'f16'),
    masked: oneOf('compute', 'zero'),
    signal,
  }) satisfies z.ZodType<EncodeOptions>,
}

type Options = { [Call in keyof typeof schemas]: z.output<(typeof schemas)[Call]> }

/** The options of a call. @throws InputError that names the option */
export function checkOptions<Call extends keyof Options>(call: Call, given: unknown): Options[Call] {
  return check<Options[Call]>(schemas[call] as z.ZodType<Options[Call]>, given, 'options')
}

/** @throws InputError where `path` is no string */
export const checkPath = (path: unknown): string => check(text, path, 'path')

/** @throws InputError where `plan` is neither a Plan nor a string */
export const checkPlan = (given: unknown): Plan | string => check(plan, given, 'plan')

const shape: z.ZodType<readonly number[]> = z.array(z.number({ error: 'a number' }), {
  error: 'an array of numbers',
})
const ints = is<Int32Array>(types.isInt32Array, 'an Int32Array')
const floats = is<Float32Array>(types.isFloat32Array, 'a Float32Array')
const matrix = <T>(data: z.ZodType<T>) => z.object({ data, shape }, { error: 'an object { data, shape }' })
const prompts = z.array(text)
const byIds = z.strictObject({ inputIds: matrix(ints), attentionMask: ints.optional() })
const byEmbeds = z.strictObject({ inputsEmbeds: matrix(floats), attentionMask: ints.optional() })

/** The form of an input; what its numbers mean is checked where they are packed (batch.ts). @throws InputError */
export function checkInput(input: unknown): EncoderInput {
  if (typeof input === 'string') return input
  if (Array.isArray(input)) return check(prompts, input, 'prompts', ['prompts'])
  if (typeof input === 'object' && input !== null) {
    if ('inputIds' in input) return check(byIds, input, 'input')
    if ('inputsEmbeds' in input) return check(byEmbeds, input, 'input')
  }
  throw new InputError({
    field: 'input',
    found: show(input),
    expected: 'a prompt, an array of prompts, { inputIds } or { inputsEmbeds }',
  })
}

function check<T>(
  schema: z.ZodType<T>,
  value: unknown,
  name: string,
  within: readonly PropertyKey[] = [],
): T {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0]!
  const field = fieldName([...within, ...issue.path]) ?? name
  if (issue.code === 'unrecognized_keys' && schema instanceof z.ZodObject) {
    const found = `unknown ${issue.keys.map((key) => show(key)).join(', ')}`
    throw new InputError({ field, found, expected: `only ${Object.keys(schema.shape).join(', ')}` })
  }
  throw new InputError({ field, found: show(valueAt(value, issue.path)), expected: issue.message })
}
