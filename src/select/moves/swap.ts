import { subBlockCount, type Architecture } from '../../model/architecture.js'
import type { Plan } from '../../plan/plan.js'
import { improve, type Standing } from './local-search.js'
import type { Evaluator } from '../measure/evaluator.js'
import { rank } from '../measure/rank.js'
import { fillings, nearestOf, rewired, withoutSource } from './wiring.js'

/** Whether these sub-blocks' weights are within the target. */
export type Fits = (loaded: readonly number[]) => boolean

interface Exchange {
  readonly plan: Plan
  readonly goes: number
  readonly loaded: readonly number[]
}

/** Exchanges tried with every filling of the place that becomes free, after a first look at all of them with few. */
const FINALISTS = 3

/**
 * Exchanges one loaded sub-block for one that is not, within the target, where that lowers D: the newcomer runs at its own position,
 * the place of the one that goes is filled in the best way, and what re-used it re-uses the nearest that is left.
 */
export async function swap(
  evaluator: Evaluator,
  start: Standing,
  loaded: readonly number[],
  fits: Fits,
): Promise<{ standing: Standing; loaded: readonly number[] }> {
  evaluator.retain([start.plan])
  const exchanges = exchangesOf(evaluator.architecture, start.plan, loaded, fits)
  const first = exchanges.flatMap((exchange) => firstLook(exchange).map((plan) => ({ ...exchange, plan })))
  const ranked = await rank(
    evaluator,
    first.map(({ plan }) => plan),
    2 * FINALISTS,
    { like: [start.plan] },
  )
  const looked = ranked.map(({ index }) => first[index]!)
  const finalists = [...new Map(looked.map((exchange) => [exchange.loaded, exchange])).values()]
  const moves = finalists
    .slice(0, FINALISTS)
    .flatMap(({ plan, goes, loaded: next }) =>
      fillings(plan, goes, next).map((filled) => ({ plan: filled, loaded: next })),
    )
  const standing = await improve(
    evaluator,
    start,
    moves.map(({ plan }) => plan),
  )
  return { standing, loaded: moves.find(({ plan }) => plan === standing.plan)?.loaded ?? loaded }
}

function exchangesOf(
  architecture: Architecture,
  plan: Plan,
  loaded: readonly number[],
  fits: Fits,
): Exchange[] {
  const out = Array.from({ length: subBlockCount(architecture) }, (_, s) => s).filter(
    (s) => !loaded.includes(s),
  )
  return loaded.flatMap((goes) =>
    out
      .map((comes) => ({ comes, next: [...loaded.filter((s) => s !== goes), comes].sort((a, b) => a - b) }))
      .filter(({ next }) => fits(next))
      .map(({ comes, next }) => ({
        plan: withoutSource(rewired(plan, comes, comes), goes, next),
        goes,
        loaded: next,
      })),
  )
}

/** The free place skipped, or filled with its nearest neighbour at half strength. */
function firstLook({ plan, goes, loaded }: Exchange): Plan[] {
  const nearest = nearestOf(loaded, goes)
  const skipped = rewired(plan, goes, null)
  return nearest === null ? [skipped] : [skipped, rewired(plan, goes, nearest, 0.5)]
}

/** While the target leaves room: the sub-block that lowers D most runs with its own weights again. */
export async function restore(
  evaluator: Evaluator,
  start: Standing,
  loaded: readonly number[],
  fits: Fits,
): Promise<{ standing: Standing; loaded: readonly number[] }> {
  let current = { standing: start, loaded }
  for (;;) {
    const { plan } = current.standing
    const moves = Array.from({ length: subBlockCount(evaluator.architecture) }, (_, s) => s)
      .filter((s) => !current.loaded.includes(s) && fits([...current.loaded, s]))
      .map((s) => ({ plan: rewired(plan, s, s), loaded: [...current.loaded, s].sort((a, b) => a - b) }))
    evaluator.retain([plan])
    const standing = await improve(
      evaluator,
      current.standing,
      moves.map((move) => move.plan),
    )
    const taken = moves.find((move) => move.plan === standing.plan)
    if (taken === undefined) return current
    current = { standing, loaded: taken.loaded }
  }
}
