import type { Checkpoint } from '../checkpoint/types.js'
import { InputError, PlanError, type SkrrError } from '../errors.js'
import { PRECISIONS, type Precision } from '../model/precision.js'
import type { Plan } from '../plan/plan.js'
import type { DeviceName } from './addon.js'
import { tryCuda } from './probe.js'

export const DEVICE_NAMES = 'auto, cpu, cuda or cuda:N'

export const isDevice = (name: string): name is 'auto' | DeviceName =>
  /^(auto|cpu|cuda(:\d{1,3})?)$/.test(name)

/** What a device can do. Whether the machine has it shows when it is opened. */
export interface Device {
  readonly name: DeviceName
  readonly kind: 'cpu' | 'cuda'
  /** Precisions it computes with. */
  readonly precisions: readonly Precision[]
  /** Runs weights as a packed checkpoint stores them. */
  readonly packed: boolean
}

export const deviceOf = (name: DeviceName): Device =>
  name === 'cpu'
    ? { name, kind: 'cpu', precisions: PRECISIONS, packed: true }
    : { name, kind: 'cuda', precisions: ['bf16'], packed: false }

/** What will run, as far as it decides which device can run it. */
export interface Wanted {
  readonly precision?: Precision | undefined
  readonly checkpoint?: Checkpoint | undefined
  readonly plan?: Plan | undefined
}

/** What a device cannot run of it, in words and as the error for a caller; undefined where it can run all. */
function lacking(
  { name, precisions, packed }: Device,
  { precision, checkpoint, plan }: Wanted,
): { what: string; error: SkrrError } | undefined {
  const known = precisions.join(', ')
  if (checkpoint !== undefined && checkpoint.packed.size > 0 && !packed) {
    const expected = `cpu: the weights of ${checkpoint.path} are packed for it`
    const error = new InputError({ field: 'device', found: `"${name}"`, expected })
    return { what: 'weights packed for it', error }
  }
  if (precision !== undefined && !precisions.includes(precision)) {
    const error = new InputError({
      field: 'precision',
      found: `"${precision}"`,
      expected: `${known} on device ${name}`,
      hint: "Or use device 'cpu'",
    })
    return { what: `${precision} weights`, error }
  }
  const s = plan?.precisions.findIndex((named) => named !== null && !precisions.includes(named)) ?? -1
  if (s < 0) return undefined
  const error = new PlanError({
    field: `precisions[${s}]`,
    found: `"${plan!.precisions[s]}"`,
    expected: `${known} or null on device ${name}`,
  })
  return { what: `a plan's ${plan!.precisions[s]} weights`, error }
}

/** @throws InputError, PlanError where the device cannot run what is wanted */
export function requireDevice(device: Device, wanted: Wanted): void {
  const lack = lacking(device, wanted)
  if (lack) throw lack.error
}

/**
 * The device asked for. `auto` is CUDA where that works and can run what is wanted, else the CPU; `reason` says which and why.
 */
export async function pickDevice(
  asked: 'auto' | DeviceName = 'auto',
  wanted: Wanted = {},
): Promise<{ device: Device; reason: string | undefined }> {
  if (asked !== 'auto') return { device: deviceOf(asked), reason: undefined }
  const [cpu, first] = [deviceOf('cpu'), deviceOf('cuda')]
  const lack = lacking(first, wanted)
  if (lack) return { device: cpu, reason: `auto picked the CPU: ${lack.what} run there alone` }
  const cuda = await tryCuda()
  return cuda.works
    ? { device: first, reason: `auto picked cuda: ${cuda.name} computes what the CPU does` }
    : { device: cpu, reason: `auto picked the CPU: ${cuda.why}` }
}
