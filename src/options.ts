import { types } from 'node:util'
import { z } from 'zod'
import type { Masked, Matrix } from './prompts/batch.js'
import { MAX_CALL_TOKENS, MAX_ROW_TOKENS } from './prompts/layout.js'
import { DEVICE_NAMES, isDevice } from './native/device.js'
import { InputError } from './errors.js'
import type { EstimateOptions } from './native/estimate.js'
import type { DeviceName, OutputType } from './native/addon.js'
import { pipelines, type PipelineName } from './pipelines/index.js'
import { LIMITS } from './families/limits.js'
import { poolingSchema } from './model/check-architecture.js'
import type { Outputs } from './model/outputs.js'
import { Plan } from './plan/plan.js'
import { PRECISIONS, type Precision } from './model/precision.js'
import {
  abortSignal,
  callback,
  checkArgument,
  flag,
  is,
  oneOf,
  optionsOf,
  text,
  threadCount,
  whole,
} from './io/arguments.js'
import { show } from './io/show.js'

export interface LoadOptions {
  /** A plan, a plan file or a preset's name. Default: the plan the checkpoint was exported under, else dense. */
  plan?: Plan | string | undefined
  /**
   * Default `auto`: CUDA where it computes what the CPU does on a small model, tried in a process of its own, and where bf16 is
   * what is wanted; else the CPU. `device` and `deviceReason` of the encoder say which and why. `cuda` or `cuda:N` is that
   * device or an error. An executable that is not Node alone (single executables, Electron, Bun, Deno) has no such process: there
   * `auto` is the CPU, and `cuda` is opened untried, so a damaged library or driver can end the process.
   */
  device?: 'auto' | DeviceName | undefined
  /**
   * Weight format in memory: f32, bf16, int8 or int4, whatever the checkpoint's is; a plan may name others for single sub-blocks.
   * Default: f32 for float32 checkpoints on the CPU, else bf16, the only one CUDA has.
   */
  precision?: Precision | undefined
  /** Threads of the CPU backend. Default: all this process may use, by its affinity and the quota of its control groups. */
  threads?: number | undefined
  /**
   * Packed int8 and int4 weights are used in their files, by all processes together and without being read at load. Such a file must be
   * replaced by a rename, never written in place: where it gets shorter while it is used, the system ends the process. `false`
   * reads them into memory of this encoder; a file that gets shorter is then an ERR_CHECKPOINT, as it is for all other weights.
   * Default: true.
   */
  mapped?: boolean | undefined
  /** tokenizer.json, spiece.model, tokenizer.model or a folder with one. Default: the one found beside the weights. */
  tokenizer?: string | undefined
  /** Which encoder of a diffusers pipeline folder, such as `text_encoder_2`. */
  textEncoder?: string | undefined
  /** What calls give that do not say otherwise. Blocks that it does not need are not loaded. Default: the last state, normed. */
  outputs?: Outputs | undefined
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
  | ({ readonly inputIds: Matrix<Int32Array> } & Placing)
  | ({ readonly inputsEmbeds: Matrix<Float32Array> } & Placing)

/** [batch, tokens], row-major. */
export interface Placing {
  /** 1 where others attend to the token, 0 where none does. Default: ones. */
  readonly attentionMask?: Int32Array | undefined
  /**
   * What rotary positions and position tables count. Default: the indices in the row, masked tokens counted in, as Hugging Face
   * does. Windows count rows, whatever is given here. Not with a pipeline, nor for encoders without either.
   */
  readonly positionIds?: Int32Array | undefined
}

export interface EncodeOptions<T extends OutputType = OutputType> {
  /**
   * Mask and length as this pipeline of diffusers has them. Default: `none`. It pads inputIds as it pads prompts; their attention
   * mask then says how long each row is. inputsEmbeds it pads only where no pad is computed.
   */
  pipeline?: PipelineName | undefined
  /** Truncate prompts to this many tokens instead of the pipeline's number. More ids or embeddings are an error. */
  maxTokens?: number | undefined
  /** Element type of the result; bf16 and f16 come as their bits in a Uint16Array. Default: f32. */
  output?: T | undefined
  /**
   * Rows of masked tokens, where inputIds or inputsEmbeds come with a mask: `compute` gives what Hugging Face returns
   * there, `zero` leaves them out of the computation. Default: compute. Not with a pipeline, which says it itself.
   */
  masked?: Masked | undefined
  /** States and pooled rows of this call, among those whose blocks are loaded. Default: the outputs given to load(). */
  outputs?: Outputs | undefined
  signal?: AbortSignal | undefined
}

export const planOption = is<Plan | string>(
  (value) => typeof value === 'string' || value instanceof Plan,
  "a Plan, a plan file or a preset's name",
)

const state = z.strictObject(
  {
    after: z.union([z.literal('last'), whole(0, LIMITS.blocks.max)], "a whole number or 'last'"),
    norm: flag.optional(),
  },
  'an object { after, norm }',
)
const outputs = optionsOf({
  states: z.array(state, 'an array of states'),
  join: oneOf('states', 'channels'),
  pooled: z.union(
    [flag, optionsOf({ row: poolingSchema, project: flag })],
    'true, false or an object { row, project }',
  ),
}) satisfies z.ZodType<Outputs>

export const deviceOption = is<'auto' | DeviceName>(
  (value) => typeof value === 'string' && isDevice(value),
  DEVICE_NAMES,
)

const load = {
  plan: planOption,
  device: deviceOption,
  precision: oneOf(...PRECISIONS),
  threads: threadCount,
  mapped: flag,
  tokenizer: text,
  textEncoder: text,
  outputs,
  signal: abortSignal,
  onProgress: callback<NonNullable<LoadOptions['onProgress']>>(),
}

const schemas = {
  load: optionsOf(load) satisfies z.ZodType<LoadOptions>,
  estimate: optionsOf({
    ...load,
    tokens: whole(1, MAX_CALL_TOKENS),
    longest: whole(1, MAX_ROW_TOKENS),
  }) satisfies z.ZodType<LoadOptions & EstimateOptions>,
  setPlan: optionsOf({ signal: abortSignal, onProgress: load.onProgress, release: flag }),
  encode: optionsOf({
    pipeline: oneOf(...(Object.keys(pipelines) as PipelineName[])),
    maxTokens: whole(1, MAX_ROW_TOKENS),
    output: oneOf('f32', 'bf16', 'f16'),
    masked: oneOf('compute', 'zero'),
    outputs,
    signal: abortSignal,
  }) satisfies z.ZodType<EncodeOptions>,
}

type Options = { [Call in keyof typeof schemas]: z.output<(typeof schemas)[Call]> }

/** The options of a call. @throws InputError that names the option */
export function checkOptions<Call extends keyof Options>(call: Call, given: unknown): Options[Call] {
  return checkArgument<Options[Call]>(schemas[call] as z.ZodType<Options[Call]>, given, 'options')
}

/** @throws InputError where `plan` is neither a Plan nor a string */
export const checkPlan = (given: unknown): Plan | string => checkArgument(planOption, given, 'plan')

const shape: z.ZodType<readonly number[]> = z
  .array(z.number({ error: 'a number' }), { error: 'an array of numbers' })
  .max(8, 'at most 8 numbers')
const ints = is<Int32Array>(types.isInt32Array, 'an Int32Array')
const floats = is<Float32Array>(types.isFloat32Array, 'a Float32Array')
const matrix = <T>(data: z.ZodType<T>) => z.object({ data, shape }, { error: 'an object { data, shape }' })
const prompts = z.array(text)
const placing = { attentionMask: ints.optional(), positionIds: ints.optional() }
const byIds = z.strictObject({ inputIds: matrix(ints), ...placing })
const byEmbeds = z.strictObject({ inputsEmbeds: matrix(floats), ...placing })

/** The form of an input; what its numbers mean is checked where they are packed (prompts/batch.ts). @throws InputError */
export const checkInput = (input: unknown): EncoderInput =>
  typeof input === 'string' ? input : checkBatch(input, 'input', 'a prompt, an array of prompts')

/** The same, of more than one prompt. @throws InputError */
export function checkBatch(
  input: unknown,
  name: string,
  expected = 'an array of prompts',
): Exclude<EncoderInput, string> {
  if (Array.isArray(input)) return checkArgument(prompts, input, 'prompts', ['prompts'])
  if (typeof input === 'object' && input !== null) {
    if ('inputIds' in input) return checkArgument(byIds, input, name)
    if ('inputsEmbeds' in input) return checkArgument(byEmbeds, input, name)
  }
  throw new InputError({
    field: name,
    found: show(input),
    expected: `${expected}, { inputIds } or { inputsEmbeds }`,
  })
}
