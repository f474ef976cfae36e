import { isAttention, subBlockCount, subBlockParameters, type Geometry } from '../geometry.js'
import type { Plan } from '../plan/plan.js'
import { improve, type Standing } from './local-search.js'
import type { Evaluator } from './measure.js'
import { rank } from './rank.js'
import { fillings, rewired } from './wiring.js'

interface Exchange {
  readonly plan: Plan
  readonly goes: number
  readonly loaded: readonly number[]
}

/** Exchanges tried with every filling of the place that becomes free, after a first look at all of them with few. */
const FINALISTS = 3

/**
 * Exchanges one loaded sub-block for one that is not, at no more bytes, where that lowers D: the newcomer runs at its own position,
 * the place of the one that goes is filled in the best way, and what re-used it re-uses the nearest that is left.
 */
export async function swap(
  evaluator: Evaluator,
  start: Standing,
  loaded: readonly number[],
): Promise<{ standing: Standing; loaded: readonly number[] }> {
  evaluator.retain([start.plan])
  const exchanges = exchangesOf(evaluator.geometry, start.plan, loaded)
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

function exchangesOf(geometry: Geometry, plan: Plan, loaded: readonly number[]): Exchange[] {
  const out = Array.from({ length: subBlockCount(geometry) }, (_, s) => s).filter((s) => !loaded.includes(s))
  const weight = (s: number): number => subBlockParameters(geometry, s)
  return loaded.flatMap((goes) =>
    out
      .filter((comes) => weight(comes) <= weight(goes))
      .map((comes) => {
        const next = [...loaded.filter((s) => s !== goes), comes].sort((a, b) => a - b)
        return { plan: withoutSource(rewired(plan, comes, comes), goes, next), goes, loaded: next }
      }),
  )
}

/** The free place skipped, or filled with its nearest neighbour at half strength. */
function firstLook({ plan, goes, loaded }: Exchange): Plan[] {
  const nearest = nearestOf(loaded, goes)
  const skipped = rewired(plan, goes, null)
  return nearest === null ? [skipped] : [skipped, rewired(plan, goes, nearest, 0.5)]
}

function nearestOf(loaded: readonly number[], position: number): number | null {
  let nearest: number | null = null
  for (const s of loaded) {
    if (isAttention(s) !== isAttention(position) || s === position) continue
    if (nearest === null || Math.abs(s - position) < Math.abs(nearest - position)) nearest = s
  }
  return nearest
}

/** Positions that ran with `goes`' weights, itself apart, run with those of the nearest loaded sub-block of its type. */
function withoutSource(plan: Plan, goes: number, loaded: readonly number[]): Plan {
  let result = plan
  for (const [position, source] of plan.table.entries()) {
    if (source !== goes || position === goes) continue
    result = rewired(result, position, nearestOf(loaded, position), plan.scales[position])
  }
  return result
}
