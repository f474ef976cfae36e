import type { Checkpoint } from './checkpoint/types.js'
import { probeCuda } from './cuda-probe.js'
import { PlanError } from './errors.js'
import { resolvePrecision } from './memory.js'
import { native, runJob, type Device, type NativeEncoder } from './native.js'
import { nativeSpec } from './native-spec.js'
import type { Plan } from './plan/plan.js'
import type { Precision } from './precision.js'

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

const AUTO_REASON =
  'auto is the CPU: the CUDA backend is proven on an emulated device only (docs/cuda.md), and runs where it is asked for'

/** Opens the engine on the device asked for, and on no other. */
export async function openEngine(checkpoint: Checkpoint, options: DeviceOptions): Promise<OpenedEngine> {
  const { device: asked = 'auto', threads = 0, signal } = options
  const device = resolveDevice(asked)
  const precision = resolvePrecision(checkpoint, options.precision, device)
  if (device !== 'cpu') await probeCuda(device)
  const engine = await runJob([signal], (cancel) =>
    native().open(nativeSpec(checkpoint), { device, precision, threads }, cancel),
  )
  return { engine, device, deviceReason: asked === 'auto' ? AUTO_REASON : undefined, precision }
}

export const resolveDevice = (asked: 'auto' | Device): Device => (asked === 'auto' ? 'cpu' : asked)

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
