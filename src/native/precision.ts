import { storedTensors, type Checkpoint } from '../checkpoint/types.js'
import { InputError } from '../errors.js'
import type { Precision } from '../model/precision.js'
import type { Plan } from '../plan/plan.js'
import { deviceOf, requireDevice, type Device } from './device.js'

/**
 * The precision of the sub-blocks for which a plan names none: the one asked for, where the device has it. Default: the one the
 * checkpoint was exported in; else f32 for float32 weights and bf16 for shorter ones; bf16 where the device has none of these.
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
 * The plan with a precision named for every sub-block that is used: the plan's own, else the one a packed checkpoint stores, else
 * the encoder's. Slots, programs and estimates are made of resolved plans.
 */
export const resolved = (plan: Plan, { packed }: Checkpoint, own: Precision): Plan =>
  plan.with({ precisions: plan.precisions.map((named, s) => named ?? packed.get(s)?.precision ?? own) })

/** The precisions that a plan's sub-blocks run in, for a person: `int8`, or `bf16 and int8`; the encoder's own where none runs. */
export function precisionsInWords(plan: Plan, checkpoint: Checkpoint, own: Precision): string {
  const { precisions } = resolved(plan, checkpoint, own)
  return [...new Set(plan.sources().map((source) => precisions[source]))].join(' and ') || own
}
