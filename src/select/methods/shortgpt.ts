import { runJob, type NativeStates } from '../../native/addon.js'
import type { Engine } from '../../native/engine.js'
import { Plan } from '../../plan/plan.js'
import { blocksOf } from '../../model/parameters.js'
import type { Chunk } from '../measure/calibration.js'
import type { Search } from './method.js'
import { withReuse } from './phases.js'

/** Needs no D for its skips. */
export const searchShortGpt: Search = async ({ judge }, options) => {
  const { engine, architecture, chunks } = judge
  const { order, influence } = await blockInfluence(engine, blocksOf(architecture), chunks, options.signal)
  return await withReuse(judge, options, skipsOf(order, options.reached), { influence })
}

/**
 * ShortGPT (arXiv 2403.03853): the Block Influence of a block is 1 - the mean over tokens of cos(x, y), x the residual stream
 * before it and y after it, in the dense encoder. Returns the blocks, least influence first (ties: the first block), and the
 * influences by block. The null condition is not looked at.
 */
async function blockInfluence(
  engine: Engine,
  blocks: number,
  chunks: readonly Chunk[],
  signal?: AbortSignal,
): Promise<{ order: readonly number[]; influence: readonly number[] }> {
  const { native } = engine
  const dense = await engine.loadPlan(Plan.dense(blocks), [signal])
  const cosines = Array<number>(blocks).fill(0)
  let tokens = 0
  for (const { batch, isNull, tokens: count } of chunks) {
    if (isNull) continue
    tokens += count
    let before: NativeStates = await runJob([signal], (cancel) => native.begin(batch, cancel))
    for (let block = 0; block < blocks; block++) {
      const from = before
      const after = await runJob([signal], (cancel) =>
        native.advance(from, dense.native, 2 * block, 2 * block + 2, cancel),
      )
      const rows = await native.compareStates(before, after)
      for (let s = 1; s < rows.length; s += 4) cosines[block]! += rows[s]!
      before.dispose()
      before = after
    }
    before.dispose()
  }
  dense.dispose()
  const influence = cosines.map((sum) => 1 - sum / tokens)
  const order = [...influence.keys()].sort((a, b) => influence[a]! - influence[b]! || a - b)
  return { order, influence }
}

/** Whole blocks in order until the target is reached, as sub-blocks. */
function skipsOf(order: readonly number[], reached: (skips: readonly number[]) => boolean): number[] {
  const skips: number[] = []
  for (const block of order) {
    if (reached(skips)) break
    skips.push(2 * block, 2 * block + 1)
  }
  return skips
}
