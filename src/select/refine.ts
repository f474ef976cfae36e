import { subBlockCount } from '../geometry.js'
import { descend, type Standing } from './local-search.js'
import type { Evaluator } from './measure.js'
import { swap } from './swap.js'
import { refill, tuneScales } from './wiring.js'

/** A change for the better, for trace and progress. */
export interface RefineStep extends Standing {
  readonly move: 'refill' | 'scales' | 'swap'
}

const SCALE_STEPS = [0.25, 0.125, 0.0625]
const MOST_SWAPS = 16

/**
 * Local search from a skip set, at the same bytes or fewer, by D alone: positions without weights of their own re-use any loaded
 * sub-block of their type, damped (wiring.ts); every residual gets a scale; and as long as it helps, a loaded sub-block is
 * exchanged with one that is not (swap.ts). Every change lowers D, so the result is never worse than where it starts.
 */
export async function refine(
  evaluator: Evaluator,
  start: Standing,
  onStep?: (step: RefineStep) => void,
): Promise<Standing> {
  const all = Array.from({ length: subBlockCount(evaluator.geometry) }, (_, s) => s)
  const sources = start.plan.sources()
  let loaded: readonly number[] = all.filter((s) => sources.includes(s))
  let standing = start
  const after = (move: RefineStep['move'], next: Standing): Standing => {
    if (next !== standing) onStep?.({ ...next, move })
    return next
  }
  const wire = async (): Promise<void> => {
    standing = after('refill', await descend(standing, (s) => refill(evaluator, s, loaded), { most: 3 }))
    for (const step of SCALE_STEPS) {
      standing = after('scales', await descend(standing, (s) => tuneScales(evaluator, s, step), { most: 3 }))
    }
  }
  await wire()
  for (let i = 0; i < MOST_SWAPS; i++) {
    const exchanged = await swap(evaluator, standing, loaded)
    if (exchanged.standing === standing) break
    standing = after('swap', exchanged.standing)
    loaded = exchanged.loaded
    await wire()
  }
  return standing
}
