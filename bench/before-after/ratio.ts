/** How many times as fast one build is as another, and how sure that is. */
import { quantile } from '../rivals/results.js'

export interface Ratio {
  /** Median milliseconds. */
  readonly before: number
  readonly after: number
  /** Their ratio before / after: above 1, `after` is the faster. */
  readonly ratio: number
  /** 95 % of what the ratio is in resamplings of the turns. */
  readonly low: number
  readonly high: number
}

const RESAMPLINGS = 10_000

const median = (values: readonly number[]): number => quantile(values, 0.5)

/**
 * Percentile bootstrap of the ratio of medians. A turn is drawn whole: what slowed the machine in it slowed both builds.
 * @param before milliseconds of each turn; `after` those of the same turns
 */
export function ratioOf(before: readonly number[], after: readonly number[], seed = 1): Ratio {
  const random = uniform(seed)
  const ratios = Array.from({ length: RESAMPLINGS }, () => {
    const turns = before.map(() => Math.floor(random() * before.length))
    return median(turns.map((turn) => before[turn]!)) / median(turns.map((turn) => after[turn]!))
  })
  const [b, a] = [median(before), median(after)]
  return {
    before: b,
    after: a,
    ratio: b / a,
    low: quantile(ratios, 0.025),
    high: quantile(ratios, 0.975),
  }
}

/** Numerical Recipes' linear congruence in [0, 1): the same interval from the same times, on every machine. */
function uniform(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return state / 2 ** 32
  }
}
