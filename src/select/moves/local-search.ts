import type { Plan } from '../../plan/plan.js'
import type { Discrepancy, Evaluator } from '../measure/evaluator.js'
import { rank } from '../measure/rank.js'

/** A plan and its D: where a local search stands. */
export interface Standing {
  readonly plan: Plan
  readonly D: Discrepancy
}

/** Gains smaller than this (relative) are not worth a change: they do not survive other data. */
const MIN_GAIN = 1e-4

/** The best of `moves` where it lowers D, else `standing` itself. */
export async function improve(
  evaluator: Evaluator,
  standing: Standing,
  moves: readonly Plan[],
): Promise<Standing> {
  const below = standing.D.total * (1 - MIN_GAIN)
  const [best] = await rank(evaluator, moves, 1, { like: [standing.plan], below })
  return best === undefined ? standing : { plan: moves[best.index]!, D: best.D }
}

/** Repeats `sweep` until it gains less than `least` (relative) or `most` times. */
export async function descend(
  standing: Standing,
  sweep: (standing: Standing) => Promise<Standing>,
  { least = 2e-3, most = 8 }: { least?: number; most?: number } = {},
): Promise<Standing> {
  let current = standing
  for (let i = 0; i < most; i++) {
    const next = await sweep(current)
    const gain = 1 - next.D.total / current.D.total
    current = next
    if (!(gain > least)) break
  }
  return current
}
