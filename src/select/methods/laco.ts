import { blocksOf } from '../../model/parameters.js'
import { Plan } from '../../plan/plan.js'
import type { Evaluator } from '../measure/evaluator.js'
import type { Search } from './method.js'
import { withReuse } from './phases.js'
import type { Merge } from './trace.js'

/** Blocks between two merges, at least; and the similarity a merge must leave, lowered by a step when no merge is left. */
const INTERVAL = 2
const THRESHOLD = 0.7
const STEP = 0.05

/** Chosen by the cosine of the encoder's own output. */
export const searchLaco: Search = async (evaluators, options) => {
  const { skips, merges } = await lacoMerges(await evaluators.output('cosine'), options.reached)
  return await withReuse(evaluators.judge, options, skips, { merges })
}

/**
 * LaCo (arXiv 2402.11187, Algorithm 1) with two layers merged into one, interval 2, over all layers: Skrr's setting of it. LaCo
 * merges a layer with those after it by adding their differences; of two,
 *
 *     w_l + (w_{l+1} - w_l) = w_{l+1}
 *
 * stay the later one's weights, and it is removed: block l is gone, and no weight is new. From the last pair to the first, a
 * merge is kept where the output's mean cosine to the dense encoder's, token by token, stays above the threshold. Where a
 * pass ends before the target, the next one goes with a threshold lower by 0.05 (LaCo itself has no target).
 * @param evaluator cosine, over the encoder's output, no null condition
 * @returns blocks in the order in which they went, as sub-blocks
 */
async function lacoMerges(
  evaluator: Evaluator,
  reached: (skips: readonly number[]) => boolean,
): Promise<{ skips: readonly number[]; merges: readonly Merge[] }> {
  const blocks = blocksOf(evaluator.architecture)
  const left = [...Array(blocks).keys()]
  const skips: number[] = []
  const merges: Merge[] = []
  for (let threshold = THRESHOLD; !reached(skips) && left.length > 1; threshold -= STEP) {
    for (let layer = left.length - 2; layer >= 0 && !reached(skips);) {
      const block = left[layer]!
      const merged = [...skips, 2 * block, 2 * block + 1]
      const { calibration } = await evaluator.discrepancy(Plan.skip(blocks, merged))
      const similarity = 1 - calibration
      const kept = similarity > threshold
      merges.push({ block, similarity, threshold, kept })
      if (kept) {
        left.splice(layer, 1)
        skips.push(2 * block, 2 * block + 1)
      }
      layer = Math.min(layer - (kept ? INTERVAL : 1), left.length - 2)
    }
  }
  return { skips, merges }
}
