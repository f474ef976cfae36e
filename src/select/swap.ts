import { isAttention, subBlockCount, subBlockParameters } from '../geometry.js'
import { improve, type Standing } from './local-search.js'
import type { Evaluator } from './measure.js'
import { fillings, rewired } from './wiring.js'

/**
 * Exchanges of one loaded sub-block with one that is not, at no more bytes: the one that comes in runs at its own position, the
 * one that goes is filled in the best way (what re-used it now re-uses the newcomer's neighbourhood: its filling, if it has one).
 * The best exchange is taken where it lowers D.
 */
export async function swap(
  evaluator: Evaluator,
  start: Standing,
  loaded: readonly number[],
): Promise<{ standing: Standing; loaded: readonly number[] }> {
  const { geometry } = evaluator
  const out = Array.from({ length: subBlockCount(geometry) }, (_, s) => s).filter((s) => !loaded.includes(s))
  const moves = loaded.flatMap((goes) =>
    out
      .filter((comes) => subBlockParameters(geometry, comes) <= subBlockParameters(geometry, goes))
      .flatMap((comes) => {
        const next = [...loaded.filter((s) => s !== goes), comes].sort((a, b) => a - b)
        const plan = withoutSource(rewired(start.plan, comes, comes), goes, next)
        return fillings(plan, goes, next).map((filled) => ({ plan: filled, loaded: next }))
      }),
  )
  evaluator.retain([start.plan])
  const standing = await improve(
    evaluator,
    start,
    moves.map(({ plan }) => plan),
  )
  const taken = moves.find(({ plan }) => plan === standing.plan)
  return { standing, loaded: taken?.loaded ?? loaded }
}

/** Positions that ran with `goes`' weights, itself apart, run with those of the nearest loaded sub-block of its type. */
export function withoutSource(
  plan: Standing['plan'],
  goes: number,
  loaded: readonly number[],
): Standing['plan'] {
  const others = loaded.filter((s) => isAttention(s) === isAttention(goes))
  let result = plan
  for (const [position, source] of plan.table.entries()) {
    if (source !== goes || position === goes) continue
    const nearest = others.reduce<number | null>(
      (best, s) => (best === null || Math.abs(s - position) < Math.abs(best - position) ? s : best),
      null,
    )
    result = rewired(result, position, nearest, plan.scales[position])
  }
  return result
}
