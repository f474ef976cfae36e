import { blocksOf } from '../../model/parameters.js'
import { Plan } from '../../plan/plan.js'
import type { Discrepancy, Evaluator } from '../measure/evaluator.js'
import { NEAR_TIE, rank } from '../measure/rank.js'

export type ReuseOrder = 'pruned' | 'ascending'
export type ReuseChoice = 'left' | 'right' | 'skip'

/** What was decided at one skipped sub-block. */
export interface ReuseStep {
  readonly at: number
  /** Nearest unskipped sub-blocks of the same type; null where that side has none. */
  readonly left: number | null
  readonly right: number | null
  /** D of the model so far, and with either re-used; absent where given up early. */
  readonly current: Discrepancy
  readonly withLeft?: Discrepancy | undefined
  readonly withRight?: Discrepancy | undefined
  readonly choice: ReuseChoice
}

/**
 * Skrr's phase 2 (Algorithm 2): each skipped sub-block, in the order it was pruned or ascending, re-uses its nearest unskipped
 * neighbour of the same type on the left or the right: the one of smaller D, if that lowers D; a tie of the two decides for neither. Neighbours are looked for among
 * what phase 1 left unskipped, whatever re-uses what meanwhile.
 */
export async function chooseReuse(
  evaluator: Evaluator,
  skips: readonly number[],
  options: {
    order: ReuseOrder
    all?: boolean | undefined
    onStep?: ((plan: Plan, D: Discrepancy, done: number) => void) | undefined
  },
): Promise<{ plan: Plan; D: Discrepancy; steps: readonly ReuseStep[] }> {
  const blocks = blocksOf(evaluator.architecture)
  const places = options.order === 'ascending' ? [...skips].sort((a, b) => a - b) : skips
  const reuse: Record<number, number> = {}
  const steps: ReuseStep[] = []
  let plan = Plan.skip(blocks, skips)
  let current = await evaluator.discrepancy(plan)
  for (const at of places) {
    const left = neighbour(skips, at, -2, 2 * blocks)
    const right = neighbour(skips, at, 2, 2 * blocks)
    const sides = [left, right].filter((side) => side !== null)
    const plans = sides.map((side) => Plan.skip(blocks, skips, { ...reuse, [at]: side }))
    evaluator.retain([plan, ...plans])
    const ranked = await rank(evaluator, plans, 1, {
      like: [plan],
      all: options.all,
      below: options.all === true ? undefined : current.total,
    })
    const [best, second] = ranked
    const below = (D: Discrepancy, other: Discrepancy | undefined): boolean =>
      other === undefined || D.total < other.total * (1 - NEAR_TIE)
    const of = (side: number | null): Discrepancy | undefined =>
      side === null ? undefined : ranked.find(({ index }) => sides[index] === side)?.D
    let choice: ReuseChoice = 'skip'
    const before = current
    if (best !== undefined && below(best.D, current) && below(best.D, second?.D)) {
      const source = sides[best.index]!
      choice = source === left ? 'left' : 'right'
      reuse[at] = source
      plan = plans[best.index]!
      current = best.D
    }
    steps.push({ at, left, right, current: before, withLeft: of(left), withRight: of(right), choice })
    options.onStep?.(plan, current, steps.length)
  }
  return { plan, D: current, steps }
}

function neighbour(skips: readonly number[], at: number, step: 2 | -2, subBlocks: number): number | null {
  for (let s = at + step; s >= 0 && s < subBlocks; s += step) if (!skips.includes(s)) return s
  return null
}
