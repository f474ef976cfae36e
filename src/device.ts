import type { Checkpoint } from './checkpoint/types.js'
import { InputError } from './errors.js'
import { resolvePrecision } from './memory.js'
import { native, runJob, type Device, type NativeEncoder, type Precision } from './native.js'
import { nativeSpec } from './native-spec.js'

export const DEVICE_NAMES = 'auto, cpu, cuda or cuda:N'

export const isDevice = (name: string): name is 'auto' | Device => /^(auto|cpu|cuda(:\d{1,3})?)$/.test(name)

export interface DeviceOptions {
  device?: 'auto' | Device | undefined
  precision?: Precision | undefined
  threads?: number | undefined
  signal?: AbortSignal | undefined
}

/** An engine and where it came to run. */
export interface OpenedEngine {
  engine: NativeEncoder
  device: Device
  precision: Precision
}

/**
 * Opens the engine on the device asked for, and on no other. `auto` is the CPU: the CUDA backend is proven on an emulated device
 * only (docs/cuda.md), and nobody should get embeddings from it without having asked.
 */
export async function openEngine(checkpoint: Checkpoint, options: DeviceOptions): Promise<OpenedEngine> {
  const { device = 'auto' } = options
  return await openOn(device === 'auto' ? 'cpu' : device, checkpoint, options)
}

async function openOn(
  device: Device,
  checkpoint: Checkpoint,
  { precision: asked, threads = 0, signal }: DeviceOptions,
): Promise<OpenedEngine> {
  if (device !== 'cpu' && asked !== undefined && asked !== 'bf16') {
    const expected = `bf16 on device ${device}`
    throw new InputError({ field: 'precision', found: `"${asked}"`, expected, hint: "Or use device 'cpu'" })
  }
  const precision = device === 'cpu' ? resolvePrecision(checkpoint, asked) : 'bf16'
  const engine = await runJob([signal], (cancel) =>
    native().open(nativeSpec(checkpoint), { device, precision, threads }, cancel),
  )
  return { engine, device, precision }
}
