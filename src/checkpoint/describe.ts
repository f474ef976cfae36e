import { inspect, type InspectOptions } from 'node:util'
import { subBlockCount } from '../model/architecture.js'
import { fingerprint } from '../model/fingerprint.js'
import { holds, type Checkpoint } from './types.js'

/** What a person wants to see of a checkpoint, in logs and in JSON: not where each of its tensors lies. */
function summary(checkpoint: Checkpoint): Record<string, unknown> {
  const { path, architecture, packed, precision, tokenizerPath, planPath } = checkpoint
  const count = subBlockCount(architecture)
  const held = Array.from({ length: count }, (_, s) => holds(checkpoint, s)).filter(Boolean).length
  return {
    path,
    architecture: fingerprint(architecture),
    subBlocks: held === count ? `all ${count}` : `${held} of ${count}`,
    ...(packed.size > 0 && { packed: `${packed.size} sub-blocks` }),
    ...(precision && { precision }),
    ...(tokenizerPath !== undefined && { tokenizerPath }),
    ...(planPath !== undefined && { planPath }),
  }
}

/** The same checkpoint, which shows its summary where it is printed or written as JSON. */
export function withSummary(checkpoint: Checkpoint): Checkpoint {
  const hidden = (value: unknown): PropertyDescriptor => ({ value, enumerable: false })
  return Object.defineProperties(checkpoint, {
    toJSON: hidden(() => summary(checkpoint)),
    [inspect.custom]: hidden(
      (_depth: number, options: InspectOptions) => `Checkpoint ${inspect(summary(checkpoint), options)}`,
    ),
  })
}
