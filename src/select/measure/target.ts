import { InputError } from '../../errors.js'
import { show } from '../../io/show.js'
import { subBlockCount, type Architecture } from '../../model/architecture.js'
import { blocksOf, denseParameters, fixedParameters, subBlockParameters } from '../../model/parameters.js'
import type { Precision } from '../../model/precision.js'
import { compensationParameters } from '../../plan/compensation.js'
import { Plan } from '../../plan/plan.js'

/** How much is to be removed: at least this sparsity (less what a compensation adds), down to these bytes of weights, or this many sub-blocks. */
export type Target =
  { readonly sparsity: number } | { readonly bytes: number } | { readonly skipCount: number }

const BYTES: Record<Precision, number> = { f32: 4, bf16: 2, int8: 1, int4: 17 / 32 }

/** Bytes outside the sub-blocks, which stay in the checkpoint's own format: 16 bits where precisions are shorter. */
export const fixedBytes = (architecture: Architecture, precision: Precision): number =>
  fixedParameters(architecture) * Math.max(2, BYTES[precision])

/**
 * Bytes of the weights a plan keeps, token embedding and compensation (float32) included; `precision` is that of sub-blocks the
 * plan names none for.
 */
export const weightBytes = (plan: Plan, architecture: Architecture, precision: Precision): number =>
  plan
    .sources()
    .reduce(
      (sum, s) => sum + subBlockParameters(architecture, s) * BYTES[plan.precisions[s] ?? precision],
      fixedBytes(architecture, precision) +
        (plan.compensation ? BYTES.f32 * compensationParameters(plan.compensation) : 0),
    )

/**
 * Tests whether a set of skipped sub-blocks reaches the target.
 * @param rank of the compensation there must be room for
 * @throws InputError where no set does
 */
export function targetReached(
  target: Target,
  architecture: Architecture,
  precision: Precision,
  rank = 0,
): (skips: readonly number[]) => boolean {
  const blocks = blocksOf(architecture)
  const plan = (skips: readonly number[]): Plan => Plan.skip(blocks, skips)
  const map = 2 * rank * architecture.width
  if ('skipCount' in target) {
    const { skipCount } = target
    if (!Number.isInteger(skipCount) || skipCount < 1 || skipCount > subBlockCount(architecture)) {
      throw outOfRange('skipCount', skipCount, `a whole number of 1 to ${subBlockCount(architecture)}`)
    }
    return (skips) => skips.length >= skipCount
  }
  if ('sparsity' in target) {
    const { sparsity } = target
    const most = 1 - fixedParameters(architecture) / denseParameters(architecture)
    if (!(typeof sparsity === 'number' && sparsity > 0 && sparsity <= most)) {
      const why = 'what lies outside the sub-blocks (the token embedding above all) always stays'
      throw outOfRange('sparsity', sparsity, `above 0 and at most ${most.toFixed(4)}: ${why}`)
    }
    return (skips) => plan(skips).sparsity(architecture) - map / denseParameters(architecture) >= sparsity
  }
  const { bytes } = target
  const least = fixedBytes(architecture, precision)
  const most = weightBytes(Plan.dense(blocks), architecture, precision)
  if (!(typeof bytes === 'number' && bytes >= least && bytes < most)) {
    const why = `in ${precision} the token embedding and all else outside the sub-blocks weigh ${least}, the dense encoder ${most}`
    throw outOfRange('bytes', bytes, `${least} to ${most - 1}: ${why}`)
  }
  return (skips) => weightBytes(plan(skips), architecture, precision) + BYTES.f32 * map <= bytes
}

const outOfRange = (field: string, found: unknown, expected: string): InputError =>
  new InputError({ field: `target.${field}`, found: show(found), expected })
