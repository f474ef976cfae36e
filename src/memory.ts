import type { Checkpoint } from './checkpoint/types.js'
import { fixedTensors } from './geometry.js'
import { callNative, native, type Precision } from './native.js'
import type { Plan } from './plan/plan.js'

/** Bytes by kind. */
export interface MemoryUse {
  /** Packed weights of the sub-blocks the plan uses, each counted once. */
  readonly weights: number
  /** The token embedding, mapped from its file: resident only as far as rows are used, so an upper bound. */
  readonly embedding: number
  /** Activations and scratch. */
  readonly workspace: number
  readonly total: number
}

export interface EstimateOptions {
  precision?: Precision | undefined
  threads?: number | undefined
  /** Tokens computed at once; default: one full micro-batch. */
  tokens?: number | undefined
  /** Tokens of the longest prompt; default: `tokens`. */
  longest?: number | undefined
}

/** Tokens the engine computes at once at most, a single longer prompt excepted: bounds the workspace. */
export const MICRO_BATCH_TOKENS = 1024

/** The checkpoint's own precision: float32 stays, everything shorter is held as bf16. */
export function resolvePrecision(checkpoint: Checkpoint, asked: Precision | undefined): Precision {
  if (asked !== undefined) return asked
  const short = [...checkpoint.tensors.values()].some((tensor) => tensor.dtype !== 'F32')
  return short ? 'bf16' : 'f32'
}

/** What an encoder will hold at its peak, from the same sums the engine allocates by. */
export function estimateMemory(checkpoint: Checkpoint, plan: Plan, options: EstimateOptions = {}): MemoryUse {
  const tokens = options.tokens ?? MICRO_BATCH_TOKENS
  const { weights, workspace } = callNative(() =>
    native().estimate(
      checkpoint.geometry,
      Int32Array.from(plan.sources()),
      { precision: resolvePrecision(checkpoint, options.precision), threads: options.threads ?? 0 },
      tokens,
      options.longest ?? tokens,
    ),
  )
  const table = fixedTensors(checkpoint.geometry).find(({ role }) => role === 'embedding')
  const embedding = (table && checkpoint.tensors.get(table.name)?.bytes) ?? 0
  return { weights, embedding, workspace, total: weights + embedding + workspace }
}
