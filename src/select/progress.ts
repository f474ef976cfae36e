import { subBlockCount } from '../model/architecture.js'
import { blocksOf } from '../model/parameters.js'
import type { Engine } from '../native/engine.js'
import { Plan } from '../plan/plan.js'
import { fixedBytes, weightBytes, type Target } from './measure/target.js'
import type { MethodProgress } from './methods/method.js'

/** Steps done of those it will take, the average sub-block's weight assumed of those to come. */
export function fractionOf(
  { phase, step, plan }: MethodProgress,
  { checkpoint: { architecture }, precision }: Engine,
  target: Target,
): number | undefined {
  if (phase === 'refine') return undefined
  if (phase === 'reuse') return Math.min(1, step / Math.max(1, plan.skipped().length + step))
  if ('skipCount' in target) return Math.min(1, step / target.skipCount)
  const blocks = blocksOf(architecture)
  const dense = weightBytes(Plan.dense(blocks), architecture, precision)
  const average = (dense - fixedBytes(architecture, precision)) / subBlockCount(architecture)
  const remove = dense - ('sparsity' in target ? (1 - target.sparsity) * dense : target.bytes)
  return Math.min(1, step / Math.max(1, Math.ceil(remove / average)))
}
