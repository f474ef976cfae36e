import { storedTensors, type Checkpoint } from '../checkpoint/types.js'
import { InputError } from '../errors.js'
import type { Precision } from '../model/precision.js'
import type { Plan } from '../plan/plan.js'
import { deviceOf, requireDevice, type Device } from './device.js'

/**
 * The precision of the sub-blocks a plan names none for: the one asked for, where the device has it. Default: the checkpoint's own:
 * what it was exported in; else float32 staying and everything shorter held as bf16; bf16 where the device has neither.
 * @throws InputError
 */
export function ownPrecision(
  checkpoint: Checkpoint,
  asked: Precision | undefined,
  device: Device = deviceOf('cpu'),
): Precision {
  const { packed, precision: exported, path } = checkpoint
  requireDevice(device, { precision: asked, checkpoint })
  if (asked !== undefined && packed.size > 0 && asked !== exported) {
    const expected = `${exported}, in which ${path} was exported`
    throw new InputError({
      field: 'precision',
      found: `"${asked}"`,
      expected,
      hint: 'Use the checkpoint it was made from',
    })
  }
  const short = storedTensors(checkpoint).some(({ ref }) => ref.encoding !== 'F32')
  const preferred = [asked, exported, short ? 'bf16' : 'f32'] as const
  return preferred.find((each) => each !== undefined && device.precisions.includes(each)) ?? 'bf16'
}

/**
 * The plan with a precision named for every sub-block that is used: the plan's own, else what a packed checkpoint stored it in, else
 * the encoder's. Slots, programs and estimates are of such plans.
 */
export const resolved = (plan: Plan, { packed }: Checkpoint, own: Precision): Plan =>
  plan.with({ precisions: plan.precisions.map((named, s) => named ?? packed.get(s)?.precision ?? own) })
