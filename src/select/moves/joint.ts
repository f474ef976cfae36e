import { blocksOf, subBlockParameters } from '../../model/parameters.js'
import { Plan } from '../../plan/plan.js'
import { improve, type Standing } from './local-search.js'
import type { Evaluator } from '../measure/evaluator.js'
import { rank } from '../measure/rank.js'
import { expand } from './skip.js'
import { nearestOf, REUSE_SCALES, rewired, withoutSource } from './wiring.js'

/** A beam: whose weights are gone, in the order in which they went, and what runs in their places. */
export interface Removal extends Standing {
  readonly skips: readonly number[]
  /** What the last of them was removed from. */
  readonly before: Removal | undefined
}

export interface JointOptions {
  readonly beams: number
  readonly reached: (skips: readonly number[]) => boolean
  readonly onStep?: ((best: Removal) => void) | undefined
}

/** Removals looked at more closely, for each beam that will be kept. */
const FINALISTS = 4

/**
 * Skip and re-use chosen together: Algorithm 1 over plans instead of lists. A removal takes a sub-block's weights away: what
 * re-used them turns to the nearest that are left, and its own place skips, or re-uses its left or right neighbour, damped or
 * not, whichever lowers D most. Removals are compared by D for a parameter removed, a beam ends where it reaches the target, and
 * of those that ended the one of smallest D is the result.
 */
export async function searchJoint(evaluator: Evaluator, options: JointOptions): Promise<Removal> {
  const blocks = blocksOf(evaluator.architecture)
  const none = { total: 0, calibration: 0, null: 0 }
  let beams: Removal[] = [{ skips: [], plan: Plan.dense(blocks), D: none, before: undefined }]
  const ended: Removal[] = []
  while (beams.length > 0) {
    const removals = expand(beams, 2 * blocks, true).map(({ parent, add, skips }) => {
      const before = beams[parent]!
      return { before, skips, plan: without(before.plan, add) }
    })
    evaluator.retain(removals.map(({ plan }) => plan))
    const finalists = await leastForItsSize(evaluator, removals, FINALISTS * options.beams)
    const filled: Removal[] = []
    for (const removal of finalists) {
      filled.push({ ...removal, ...(await improve(evaluator, removal, neighbours(removal))) })
    }
    const kept = await leastForItsSize(evaluator, filled, options.beams)
    ended.push(...kept.filter(({ skips }) => options.reached(skips)))
    beams = kept.filter(({ skips }) => !options.reached(skips))
    options.onStep?.(kept[0]!)
  }
  const [best] = await rank(evaluator, plansOf(ended), 1)
  return ended[best!.index]!
}

/** The k of smallest D for a parameter removed, best first. */
async function leastForItsSize(
  evaluator: Evaluator,
  removals: readonly Omit<Removal, 'D'>[],
  k: number,
): Promise<Removal[]> {
  const size = (skips: readonly number[]): number =>
    skips.reduce((sum, s) => sum + subBlockParameters(evaluator.architecture, s), 0)
  const ranked = await rank(evaluator, plansOf(removals), k, {
    like: removals.flatMap(({ before }) => before?.plan ?? []),
    per: removals.map(({ skips }) => size(skips)),
  })
  return ranked.slice(0, k).map(({ index, D }) => ({ ...removals[index]!, D }))
}

function without(plan: Plan, goes: number): Plan {
  const loaded = plan.sources().filter((s) => s !== goes)
  return rewired(withoutSource(plan, goes, loaded), goes, null)
}

/** The last removal's place filled by its nearest loaded neighbour on either side, at every scale. */
function neighbours({ plan, skips }: Removal): Plan[] {
  const goes = skips.at(-1)!
  const loaded = plan.sources()
  const sides = [loaded.filter((s) => s < goes), loaded.filter((s) => s > goes)]
  return sides
    .map((side) => nearestOf(side, goes))
    .filter((source) => source !== null)
    .flatMap((source) => REUSE_SCALES.map((scale) => rewired(plan, goes, source, scale)))
}

const plansOf = (removals: readonly { readonly plan: Plan }[]): Plan[] => removals.map(({ plan }) => plan)
