import type { Checkpoint } from '../checkpoint/types.js'
import { probeCuda } from './probe.js'
import { InputError } from '../errors.js'
import { type Architecture } from '../model/architecture.js'
import { fixedTensors } from '../families/tensors.js'
import { callNative, native, runJob, type Device } from './addon.js'
import { asStored, nativeGeometry, slotsOf } from './spec.js'
import type { Plan } from '../plan/plan.js'
import type { Precision } from '../model/precision.js'

/** Bytes by kind. */
export interface MemoryUse {
  /** Packed weights of the sub-blocks the plan uses, each counted once, and its compensation. */
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

/**
 * The precision asked for, where the device has it. Default: the checkpoint's own: what it was exported in; else float32 staying
 * and everything shorter held as bf16, which is the only one CUDA has.
 * @throws InputError
 */
export function resolvePrecision(
  checkpoint: Checkpoint,
  asked: Precision | undefined,
  device: Device = 'cpu',
): Precision {
  const { packed, precision: exported, path } = checkpoint
  if (device !== 'cpu' && packed.size > 0) {
    const expected = `cpu: the weights of ${path} are packed for it`
    throw new InputError({ field: 'device', found: `"${device}"`, expected })
  }
  if (asked !== undefined && packed.size > 0 && asked !== exported) {
    const expected = `${exported}, in which ${path} was exported`
    throw new InputError({
      field: 'precision',
      found: `"${asked}"`,
      expected,
      hint: 'Use the checkpoint it was made from',
    })
  }
  if (device !== 'cpu') {
    if (asked === undefined || asked === 'bf16') return 'bf16'
    const expected = `bf16 on device ${device}`
    throw new InputError({ field: 'precision', found: `"${asked}"`, expected, hint: "Or use device 'cpu'" })
  }
  const named = asked ?? exported
  if (named !== undefined) return named
  const short = [...checkpoint.tensors.values()].some((tensor) => tensor.dtype !== 'F32')
  return short ? 'bf16' : 'f32'
}

/**
 * What an encoder will hold at its peak on a device, from the same sums the engine allocates by. On CUDA weights and workspace
 * are device memory (the driver's own context comes on top, some hundred MB), the embedding is the host's.
 */
export async function estimateMemory(
  checkpoint: Checkpoint,
  plan: Plan,
  { device = 'cpu', ...options }: EstimateOptions & { device?: Device | undefined } = {},
): Promise<MemoryUse> {
  const precision = resolvePrecision(checkpoint, options.precision, device)
  const tokens = options.tokens ?? MICRO_BATCH_TOKENS
  const { architecture } = checkpoint
  const rank = plan.compensation?.rank ?? 0
  const longest = options.longest ?? tokens
  const { weights, workspace } =
    device === 'cpu'
      ? callNative(() =>
          native().estimate(
            nativeGeometry(architecture),
            slotsOf(asStored(plan, checkpoint)),
            { precision, threads: options.threads ?? 0 },
            rank,
            tokens,
            longest,
          ),
        )
      : await estimateOnCuda(architecture, plan, device, tokens, longest)
  const table = fixedTensors(architecture).find(({ role }) => role === 'embedding')
  const embedding = (table && checkpoint.tensors.get(table.name)?.bytes) ?? 0
  return { weights, embedding, workspace, total: weights + embedding + workspace }
}

async function estimateOnCuda(
  architecture: Architecture,
  plan: Plan,
  device: Device,
  tokens: number,
  longest: number,
): Promise<{ weights: number; workspace: number }> {
  await probeCuda(device)
  const sources = Int32Array.from(plan.sources())
  const rank = plan.compensation?.rank ?? 0
  return await runJob([], () =>
    native().estimateCuda(nativeGeometry(architecture), sources, { device }, rank, tokens, longest),
  )
}
