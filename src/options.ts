import { types } from 'node:util'
import { z } from 'zod'
import { MAX_CALL_TOKENS, type Masked, type Matrix } from './prompts/batch.js'
import { DEVICE_NAMES, isDevice } from './native/device.js'
import { InputError } from './errors.js'
import type { EstimateOptions } from './native/estimate.js'
import type { DeviceName, OutputType } from './native/addon.js'
import { pipelines, type PipelineName } from './pipelines/index.js'
import { Plan } from './plan/plan.js'
import { PRECISIONS, type Precision } from './model/precision.js'
import { fieldName, show, valueAt } from './io/show.js'

export interface LoadOptions {
  /** A plan, a plan file or a preset's name. Default: the plan the checkpoint was exported under, else dense. */
  plan?: Plan | string | undefined
  /**
   * Default `auto`: CUDA where it computes what the CPU does on a small model, tried in a process of its own, and where bf16 is
   * what is wanted; else the CPU. `device` and `deviceReason` of the encoder say which and why. `cuda` or `cuda:N` is that
   * device or an error.
   */
  device?: 'auto' | DeviceName | undefined
  /**
   * Weight format in memory: f32, bf16, int8 or int4, whatever the checkpoint's is; a plan may name others for single sub-blocks.
   * Default: f32 for float32 checkpoints on the CPU, else bf16, the only one CUDA has.
   */
  precision?: Precision | undefined
  /** Threads of the CPU backend. Default: all this process may use. */
  threads?: number | undefined
  /** tokenizer.json, spiece.model or a folder with one. Default: the one found beside the weights. */
  tokenizer?: string | undefined
  /** Which encoder of a diffusers pipeline folder, such as `text_encoder_2`. */
  textEncoder?: string | undefined
  signal?: AbortSignal | undefined
  onProgress?: ((progress: LoadProgress) => void) | undefined
}

export interface SetPlanOptions extends Pick<LoadOptions, 'signal' | 'onProgress'> {
  /** Free the weights the new plan does not use, once the calls made before have ended. Default: keep them. */
  release?: boolean | undefined
}

/** Bytes of the checkpoint read so far, of those the plan needs. */
export interface LoadProgress {
  readonly doneBytes: number
  readonly totalBytes: number
}

/** Prompts; or ids; or rows that stand in for the embedded tokens (prompt weighting, other modalities). */
export type EncoderInput =
  | string
  | readonly string[]
  | { readonly inputIds: Matrix<Int32Array>; readonly attentionMask?: Int32Array | undefined }
  | { readonly inputsEmbeds: Matrix<Float32Array>; readonly attentionMask?: Int32Array | undefined }

export interface EncodeOptions {
  /** Mask and length as this pipeline of diffusers has them. Default: `none`. Prompts only. */
  pipeline?: PipelineName | undefined
  /** Truncate prompts to this many tokens instead of the pipeline's number. */
  maxTokens?: number | undefined
  /** Element type of the result; bf16 and f16 come as their bits in a Uint16Array. Default: f32. */
  output?: OutputType | undefined
  /**
   * Rows of masked tokens, where inputIds or inputsEmbeds come with a mask: `compute` gives what Hugging Face returns
   * there, `zero` leaves them out of the computation. Default: compute.
   */
  masked?: Masked | undefined
  signal?: AbortSignal | undefined
}

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
  device: is<'auto' | DeviceName>((value) => typeof value === 'string' && isDevice(value), DEVICE_NAMES),
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

/** The form of an input; what its numbers mean is checked where they are packed (prompts/batch.ts). @throws InputError */
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
