import { subBlockCount } from '../../model/architecture.js'
import { descend, type Standing } from './local-search.js'
import type { Evaluator } from '../measure/evaluator.js'
import { restore, swap, type Fits } from './swap.js'
import { refill, tuneScales } from './wiring.js'

/** A change for the better, for trace and progress. */
export interface RefineStep extends Standing {
  readonly move: 'restore' | 'refill' | 'scales' | 'swap'
}

/** Steps of the scales: coarse while the loaded set still changes, finer at the end. */
const COARSE = 0.25
const FINE = [0.125, 0.0625]
const MAX_SWAPS = 16
/** An exchange that gains less (relative) is the last: a look at all of them is the dearest part of the search. */
const MIN_SWAP_GAIN = 5e-3

/**
 * Local search from a skip set, at the same bytes or fewer, by D alone: positions without weights of their own re-use any loaded
 * sub-block of their type, damped (wiring.ts); every residual gets a scale; and as long as it helps, a loaded sub-block is
 * exchanged with one that is not (swap.ts). Every change lowers D, so the result is never worse than where it starts.
 */
export async function refine(
  evaluator: Evaluator,
  start: Standing,
  fits: Fits,
  onStep?: (step: RefineStep) => void,
): Promise<Standing> {
  const all = Array.from({ length: subBlockCount(evaluator.architecture) }, (_, s) => s)
  const sources = start.plan.sources()
  let loaded: readonly number[] = all.filter((s) => sources.includes(s))
  let standing = start
  const after = (move: RefineStep['move'], next: Standing): Standing => {
    if (next !== standing) onStep?.({ ...next, move })
    return next
  }
  const scales = async (step: number, most: number): Promise<void> => {
    standing = after('scales', await descend(standing, (s) => tuneScales(evaluator, s, step), { most }))
  }
  const refilled = async (most: number): Promise<void> => {
    standing = after('refill', await descend(standing, (s) => refill(evaluator, s, loaded), { most }))
  }
  const restored = await restore(evaluator, standing, loaded, fits)
  standing = after('restore', restored.standing)
  loaded = restored.loaded
  await refilled(2)
  await scales(COARSE, 2)
  for (let i = 0; i < MAX_SWAPS; i++) {
    const exchanged = await swap(evaluator, standing, loaded, fits)
    const gain = 1 - exchanged.standing.D.total / standing.D.total
    standing = after('swap', exchanged.standing)
    loaded = exchanged.loaded
    if (!(gain > MIN_SWAP_GAIN)) break
    await scales(COARSE, 1)
  }
  await refilled(2)
  for (const step of FINE) await scales(step, 2)
  return standing
}
