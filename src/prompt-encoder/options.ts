import { z } from 'zod'
import { abortSignal, checkArgument, is, oneOf, optionsOf, text, threadCount } from '../io/arguments.js'
import type { DeviceName } from '../native/addon.js'
import { PRECISIONS, type Precision } from '../model/precision.js'
import type { Arguments } from '../pipelines/types.js'
import { deviceOption, planOption } from '../options.js'
import type { Plan } from '../plan/plan.js'

export interface PromptEncoderOptions {
  /** A pipeline's name. Default: the one whose class model_index.json names. */
  pipeline?: string | undefined
  /** Encode with these encoders alone, such as `text_encoder_2`; tensors that need others are left out. */
  slots?: readonly string[] | undefined
  /** Tokenizers by slot, where they do not lie beside the encoders. */
  tokenizers?: Readonly<Record<string, string>> | undefined
  /** Bytes for all encoders together, or a text such as `3GB`. Default: no limit. */
  maxMemory?: number | string | undefined
  device?: 'auto' | DeviceName | undefined
  /** Of all encoders, or of each by slot. */
  precision?: Precision | Readonly<Record<string, Precision>> | undefined
  /** By slot. */
  plans?: Readonly<Record<string, Plan | string>> | undefined
  threads?: number | undefined
  signal?: AbortSignal | undefined
}

/** A folder of diffusers, encoders by slot, or one file that is a part of the pipeline. */
export type PipelineSource = string | Readonly<Record<string, string>>

const bySlot = <T>(value: z.ZodType<T>, what: string) => z.record(z.string(), value, { error: what })
const paths = bySlot(text, 'an object of paths by slot')
const precision = oneOf(...PRECISIONS)
const amount = is<number | string>(
  (value) => typeof value === 'string' || typeof value === 'number',
  "a number of bytes, or a text such as '3GB'",
)

const load = optionsOf({
  pipeline: text,
  slots: z.array(text, 'an array of names'),
  tokenizers: paths,
  maxMemory: amount,
  device: deviceOption,
  precision: z.union(
    [precision, bySlot(precision, 'precisions by slot')],
    'a precision, or precisions by slot',
  ),
  plans: bySlot(planOption, 'an object of plans by slot'),
  threads: threadCount,
  signal: abortSignal,
}) satisfies z.ZodType<PromptEncoderOptions>

const source = z.union([text, paths], 'a folder or a file, or an object of them by slot')
const call = optionsOf({ signal: abortSignal })

/** @throws InputError that names what is wrong */
export function checkLoad(given: unknown, options: unknown): [PipelineSource, PromptEncoderOptions] {
  return [
    checkArgument<PipelineSource>(source, given, 'source'),
    checkArgument<PromptEncoderOptions>(load, options, 'options'),
  ]
}

/** Prompts alone as the argument `prompt`. @throws InputError */
export function checkRequest(given: unknown): Arguments {
  if (typeof given === 'string' || Array.isArray(given)) return { prompt: given }
  return checkArgument(z.record(z.string(), z.unknown(), { error: PROMPTS }), given, 'request')
}
const PROMPTS = "a prompt, an array of prompts or an object of diffusers' arguments"

/** @throws InputError that names the option */
export const checkCall = (given: unknown): { signal?: AbortSignal | undefined } =>
  checkArgument<{ signal?: AbortSignal | undefined }>(call, given, 'options')
