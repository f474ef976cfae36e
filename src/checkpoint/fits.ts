import { PlanError } from '../errors.js'
import type { Precision } from '../model/precision.js'
import type { Plan } from '../plan/plan.js'
import { holds, type Checkpoint } from './types.js'

/**
 * @param file what the plan was read from, for messages
 * @throws PlanError where the plan does not fit the model, or needs weights that an exported checkpoint left out or holds in
 * another precision
 */
export function checkPlanFits(plan: Plan, checkpoint: Checkpoint, file?: string): void {
  plan.validate(checkpoint.architecture, file)
  for (const source of plan.sources()) {
    const stored = checkpoint.packed.get(source)?.precision
    if (stored !== undefined) {
      checkStored(plan, source, stored, checkpoint.path)
      continue
    }
    if (!holds(checkpoint, source)) {
      throw new PlanError({
        file: checkpoint.path,
        field: `sub-block ${source}`,
        found: 'no weights: the checkpoint was exported under a plan without it',
        expected: 'every source of the plan',
        hint: 'Use the full checkpoint, or the plan in its skrr-plan.json',
      })
    }
  }
}

function checkStored(plan: Plan, source: number, stored: Precision, file: string): void {
  const wanted = plan.precisions[source] ?? stored
  if (wanted === stored) return
  throw new PlanError({
    file,
    field: `precisions[${source}]`,
    found: `"${wanted}"`,
    expected: `${stored} or null: the checkpoint holds packed weights`,
    hint: 'Use the checkpoint it was exported from',
  })
}

/**
 * The plan as it runs from a checkpoint: packed weights run as they are stored, so where the plan names no precision and the
 * checkpoint was exported in another one, theirs is named.
 */
export const asStored = (plan: Plan, { packed, precision: exported }: Checkpoint): Plan => {
  const precisions = plan.precisions.map((named, s) => {
    const stored = packed.get(s)?.precision
    return named ?? (stored === undefined || stored === exported ? null : stored)
  })
  return precisions.every((each, s) => each === plan.precisions[s]) ? plan : plan.with({ precisions })
}
