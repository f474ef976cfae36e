import type { Checkpoint } from '../checkpoint/types.js'
import type { Architecture } from '../model/architecture.js'
import type { Precision } from '../model/precision.js'
import type { Plan } from '../plan/plan.js'
import { estimateTokenizer } from '../prompts/tokenizer/memory.js'
import { native, runJob } from './addon.js'
import { deviceOf, requireDevice, type Device } from './device.js'
import { ownPrecision, resolved } from './precision.js'
import { probeCuda } from './probe.js'
import { nativeArchitecture, slotsOf } from './spec.js'

/** Bytes by kind. */
export interface MemoryUse {
  /** Packed weights of the sub-blocks the plan uses, mapped ones too, each counted once, and its compensation. */
  readonly weights: number
  /** The token embedding, which stays in its file: an upper bound of what the system caches of the rows that are used. */
  readonly embedding: number
  /** Activations and scratch. */
  readonly workspace: number
  /**
   * The tokenizer's thread, 0 without one. Of an encoder: what the thread's heap held when it last answered, and 0 while it rests;
   * encoders that share a tokenizer's file share its thread, and each counts it whole. Of an estimate: from the size of the file.
   */
  readonly tokenizer: number
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

/** Max tokens that the engine computes at once, except for a single longer prompt. It bounds the workspace. */
export const MICRO_BATCH_TOKENS = 1024

/**
 * Bytes that an encoder will hold at its peak on a device, from the sums by which the engine allocates. On CUDA weights and workspace
 * are device memory (the driver's context adds some hundred MB), the embedding is in host memory.
 */
export async function estimateMemory(
  checkpoint: Checkpoint,
  plan: Plan,
  {
    device = deviceOf('cpu'),
    ...options
  }: EstimateOptions & {
    device?: Device | undefined
    tokenizer?: string | undefined
    /** See SpecOptions. */
    projected?: boolean | undefined
  } = {},
): Promise<MemoryUse> {
  const { architecture } = checkpoint
  const precision = ownPrecision(checkpoint, options.precision, device)
  requireDevice(device, { plan })
  const { tokens = MICRO_BATCH_TOKENS, threads = 0 } = options
  const batch = { tokens, longest: options.longest ?? tokens }
  const { weights, workspace } = await estimateOn(
    device,
    architecture,
    resolved(plan, checkpoint, precision),
    batch,
    threads,
  )
  const embedding = checkpoint.fixed.embedding?.bytes ?? 0
  const tokenizerPath = options.tokenizer ?? checkpoint.tokenizerPath
  const tokenizer = tokenizerPath === undefined ? 0 : await estimateTokenizer(tokenizerPath)
  const projection = options.projected
    ? architecture.width * (architecture.output.projection?.width ?? 0) * 4
    : 0
  return totalled({ weights: weights + projection, embedding, workspace, tokenizer })
}

/** Adds the sum. */
export function totalled(parts: Omit<MemoryUse, 'total'>): MemoryUse {
  const { weights, embedding, workspace, tokenizer } = parts
  return { ...parts, total: weights + embedding + workspace + tokenizer }
}

/** Bytes of an encoder of any shape under a resolved plan, without the token embedding. @throws ERR_DEVICE */
export async function estimateOn(
  device: Device,
  architecture: Architecture,
  plan: Plan,
  { tokens, longest }: { tokens: number; longest: number },
  threads = 0,
): Promise<Pick<MemoryUse, 'weights' | 'workspace'>> {
  if (device.kind === 'cuda') await probeCuda(device.name)
  const rank = plan.compensation?.rank ?? 0
  const options = { device: device.name, threads }
  return await runJob([], () =>
    native().estimate(nativeArchitecture(architecture), options, slotsOf(plan), rank, tokens, longest),
  )
}
