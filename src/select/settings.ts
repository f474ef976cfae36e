import { types } from 'node:util'
import { z } from 'zod'
import {
  abortSignal,
  callback,
  checkArgument,
  flag,
  is,
  number,
  optionsOf,
  text,
  whole,
} from '../io/arguments.js'
import { InputError } from '../errors.js'
import type { CalibrationInput } from './measure/calibration.js'
import type { Metric, Work, Discrepancy } from './measure/evaluator.js'
import { METHODS, type Method, type MethodProgress } from './methods/method.js'
import type { NativeMapLayer } from '../native/addon.js'
import type { Selection } from './result.js'
import { MAX_RANK } from '../plan/compensation.js'
import type { Plan } from '../plan/plan.js'
import type { ReuseOrder } from './moves/reuse.js'
import type { Target } from './measure/target.js'

export interface SelectOptions {
  readonly target: Target
  /** Default: skrr, the best of them at equal bytes; `paper` is Skrr exactly as published. See docs/selection.md. */
  readonly method?: Method | undefined
  /** Beams of Algorithm 1. Default: 3; FinerCut has one. */
  readonly beams?: number | undefined
  /** Beams are different sets, not permutations of one. Default: true, but false for `paper`. */
  readonly dedup?: boolean | undefined
  /** Algorithm 2 after the skips. Default: true for `paper`, false for the baselines; skrr has its own search. */
  readonly reuse?: boolean | undefined
  /** Default: pruned. */
  readonly reuseOrder?: ReuseOrder | undefined
  /**
   * skrr: also start from a search that chooses skips and re-use together, and take the better plan. Default: true; without
   * it the search is a few times less work.
   */
  readonly joint?: boolean | undefined
  /**
   * Rank of the low-rank map of the output that is fitted to the chosen plan and goes into it, where it lowers D on calibration
   * prompts left out of the fit; 0: none. Default: 0.
   */
  readonly compensate?: number | undefined
  /** Default: mse. */
  readonly metric?: Metric | undefined
  /** The denoiser's module that takes the embedding: a safetensors file or its layers. Default: none. */
  readonly projection?: string | readonly NativeMapLayer[] | undefined
  /** The null condition of classifier-free guidance. Default: the empty prompt. */
  readonly null?: CalibrationInput | undefined
  /** Longest prompt, in tokens. Default: 512. */
  readonly maxTokens?: number | undefined
  /** Tokens measured at once. Default: a 32nd of the set, at most 256; finer gives up bad plans earlier. */
  readonly chunkTokens?: number | undefined
  /** Most bytes of cached states on the device, beside the embedded set and its dense features. Default: 1 GiB. */
  readonly cacheBytes?: number | undefined
  /** Measure every expansion in full, so that the trace has all of them. Default: false, which is less work. */
  readonly fullTrace?: boolean | undefined
  /** File to note measurements in as they are made; deleted at the end, after `onResult`. */
  readonly journal?: string | undefined
  /** Go on from the journal, where it is there. */
  readonly resume?: boolean | undefined
  /** Puts the result where it stays, before the journal is deleted: what fails here is repeated by `resume`. */
  readonly onResult?: ((selection: Selection) => Promise<void>) | undefined
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: ((progress: SelectProgress) => void) | undefined
}

export interface SelectProgress {
  readonly phase: 'dense' | MethodProgress['phase'] | 'compensate'
  /** Of the phase, 0 to 1; undefined for the local search, which has no known end. */
  readonly fraction: number | undefined
  /** Best plan so far and its D. */
  readonly plan: Plan
  readonly D: Discrepancy | undefined
  readonly work: Work
}

/** What decides the outcome, defaults filled in. */
export interface Settings {
  readonly method: Method
  readonly beams: number
  readonly dedup: boolean
  readonly reuse: boolean
  readonly reuseOrder: ReuseOrder
  readonly joint: boolean
  readonly metric: Metric
  readonly compensate: number
}

const BASELINES: readonly Method[] = ['finercut', 'shortgpt', 'laco']
const MAX_BEAMS = 64

const layer = z.strictObject(
  {
    weight: is<Float32Array>(types.isFloat32Array, 'a Float32Array'),
    bias: is<Float32Array>(types.isFloat32Array, 'a Float32Array').optional(),
    rows: whole(1),
    columns: whole(1),
  },
  { error: 'a layer { weight, rows, columns }' },
)
const target = is<Target>(
  (value) => typeof value === 'object' && value !== null && Object.keys(value).length === 1,
  '{ sparsity }, { bytes } or { skipCount }',
)

/** Of these the types alone; what their values may be is checked where they are used. */
const schema = z.strictObject(
  {
    target,
    ...optionsOf({
      method: text,
      beams: number,
      dedup: flag,
      reuse: flag,
      reuseOrder: text,
      joint: flag,
      compensate: number,
      metric: text,
      projection: z.union([text, z.array(layer)], { error: 'a file or its layers' }),
      null: is((value) => value !== null, 'prompts, ids or embeddings'),
      maxTokens: whole(1),
      chunkTokens: whole(1),
      cacheBytes: whole(0),
      fullTrace: flag,
      journal: text,
      resume: flag,
      onResult: callback(),
      signal: abortSignal,
      onProgress: callback(),
    }).shape,
  },
  { error: 'an object' },
)

/** @throws InputError that names the option */
export const checkSelectOptions = (given: unknown): SelectOptions =>
  checkArgument<unknown>(schema, given, 'options') as SelectOptions

/** @throws InputError */
export function resolveSettings(options: SelectOptions): Settings {
  const method = oneOf('method', options.method ?? 'skrr', METHODS)
  const beams = method === 'finercut' ? 1 : (options.beams ?? 3)
  if (!Number.isInteger(beams) || beams < 1 || beams > MAX_BEAMS) {
    throw new InputError({
      field: 'beams',
      found: String(beams),
      expected: `a whole number of 1 to ${MAX_BEAMS}`,
    })
  }
  return {
    method,
    beams,
    dedup: options.dedup ?? method !== 'paper',
    reuse: options.reuse ?? !BASELINES.includes(method),
    compensate: checkRank(options.compensate ?? 0),
    reuseOrder: oneOf('reuseOrder', options.reuseOrder ?? 'pruned', ['pruned', 'ascending'] as const),
    joint: method === 'skrr' && (options.joint ?? true),
    metric: oneOf('metric', options.metric ?? 'mse', ['mse', 'cosine'] as const),
  }
}

function checkRank(rank: number): number {
  if (Number.isInteger(rank) && rank >= 0 && rank <= MAX_RANK) return rank
  throw new InputError({
    field: 'compensate',
    found: String(rank),
    expected: `a rank of 1 to ${MAX_RANK}, or 0 for none`,
  })
}

function oneOf<T extends string>(field: string, found: string, choices: readonly T[]): T {
  const choice = choices.find((name) => name === found)
  if (choice !== undefined) return choice
  throw new InputError({ field, found: JSON.stringify(found), expected: choices.join(', ') })
}
