import type { Checkpoint } from '../checkpoint/types.js'
import { probeCuda, tryCuda } from './probe.js'
import { PlanError } from '../errors.js'
import { resolvePrecision } from './estimate.js'
import { native, runJob, type Device, type NativeEncoder } from './addon.js'
import { nativeSpec } from './spec.js'
import type { Plan } from '../plan/plan.js'
import type { Precision } from '../model/precision.js'

export const DEVICE_NAMES = 'auto, cpu, cuda or cuda:N'

export const isDevice = (name: string): name is 'auto' | Device => /^(auto|cpu|cuda(:\d{1,3})?)$/.test(name)

export interface DeviceOptions {
  device?: 'auto' | Device | undefined
  precision?: Precision | undefined
  threads?: number | undefined
  signal?: AbortSignal | undefined
}

/** An engine, where it came to run and, where the caller left that open, why there. */
export interface OpenedEngine {
  engine: NativeEncoder
  device: Device
  deviceReason: string | undefined
  precision: Precision
}

/** What will run, as far as it decides where it can. */
export interface Wanted {
  precision?: Precision | undefined
  checkpoint?: Checkpoint
  plan?: Plan
}

/**
 * The device asked for. `auto` is CUDA where that works and has what is wanted, else the CPU; the reason says which it is and why.
 */
export async function pickDevice(
  asked: 'auto' | Device = 'auto',
  wanted: Wanted = {},
): Promise<{ device: Device; reason: string | undefined }> {
  if (asked !== 'auto') return { device: asked, reason: undefined }
  const only = onlyOnCpu(wanted)
  if (only !== undefined) return { device: 'cpu', reason: `auto picked the CPU: ${only} run there alone` }
  const cuda = await tryCuda()
  return cuda.works
    ? { device: 'cuda', reason: `auto picked cuda: ${cuda.name} computes what the CPU does` }
    : { device: 'cpu', reason: `auto picked the CPU: ${cuda.why}` }
}

function onlyOnCpu({ precision, checkpoint, plan }: Wanted): string | undefined {
  if (precision !== undefined && precision !== 'bf16') return `${precision} weights`
  if (checkpoint !== undefined && checkpoint.packed.size > 0) return 'weights packed for it'
  const other = plan?.precisions.find((named) => named !== null && named !== 'bf16')
  return other ? `a plan's ${other} weights` : undefined
}

/** Opens the engine on the device asked for, and on no other; `plan` is what will run on it. */
export async function openEngine(
  checkpoint: Checkpoint,
  options: DeviceOptions,
  plan?: Plan,
): Promise<OpenedEngine> {
  const { threads = 0, signal } = options
  const wanted = { precision: options.precision, checkpoint, ...(plan && { plan }) }
  const { device, reason } = await pickDevice(options.device, wanted)
  const precision = resolvePrecision(checkpoint, options.precision, device)
  if (device !== 'cpu') await probeCuda(device)
  const engine = await runJob([signal], (cancel) =>
    native().open(nativeSpec(checkpoint), { device, precision, threads }, cancel),
  )
  return { engine, device, deviceReason: reason, precision }
}

/** @throws PlanError where the plan wants a weight format the device does not have */
export function checkPrecisions(plan: Plan, device: Device): void {
  if (device === 'cpu') return
  const s = plan.precisions.findIndex((precision) => precision !== null && precision !== 'bf16')
  if (s < 0) return
  throw new PlanError({
    field: `precisions[${s}]`,
    found: `"${plan.precisions[s]}"`,
    expected: `bf16 or null on device ${device}`,
  })
}
