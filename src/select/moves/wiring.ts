import { isAttention } from '../../model/architecture.js'
import type { Plan } from '../../plan/plan.js'
import { improve, type Standing } from './local-search.js'
import type { Evaluator } from '../measure/evaluator.js'

/** Residual scales tried for a sub-block that re-uses another's weights: at full strength it is often worse than skipping. */
export const REUSE_SCALES = [0.25, 0.5, 0.75, 1] as const

/** The plan with another source and residual scale at one position. */
export function rewired(plan: Plan, position: number, source: number | null, scale = 1): Plan {
  return plan.with({ table: plan.table.with(position, source), scales: plan.scales.with(position, scale) })
}

/** Ways to fill a position whose own weights are not loaded: nothing, or any loaded sub-block of its type, damped or not. */
export function fillings(plan: Plan, position: number, loaded: readonly number[]): Plan[] {
  const sources = loaded.filter((s) => s !== position && isAttention(s) === isAttention(position))
  return [
    rewired(plan, position, null),
    ...sources.flatMap((s) => REUSE_SCALES.map((scale) => rewired(plan, position, s, scale))),
  ]
}

/** Each position without weights of its own in turn: its best filling, where that lowers D. */
export async function refill(
  evaluator: Evaluator,
  start: Standing,
  loaded: readonly number[],
): Promise<Standing> {
  let standing = start
  for (const position of standing.plan.table.keys()) {
    if (loaded.includes(position)) continue
    evaluator.retain([standing.plan])
    standing = await improve(evaluator, standing, fillings(standing.plan, position, loaded))
  }
  return standing
}

/** Each residual scale in turn, kept sub-blocks' too: a step up or down of `step`, where that lowers D. */
export async function tuneScales(evaluator: Evaluator, start: Standing, step: number): Promise<Standing> {
  let standing = start
  for (const [position, source] of standing.plan.table.entries()) {
    if (source === null) continue
    for (const direction of [step, -step]) {
      let before: Standing
      do {
        before = standing
        evaluator.retain([standing.plan])
        const scale = round(standing.plan.scales[position]! + direction)
        standing = await improve(evaluator, before, [rewired(before.plan, position, source, scale)])
      } while (standing !== before)
    }
  }
  return standing
}

/** Scales are multiples of small powers of two: exact in float32, and the same after any number of steps. */
const round = (scale: number): number => Math.round(scale * 1024) / 1024

/** The loaded sub-block of its type that is nearest to a position, the left one of two; null where there is none. */
export function nearestOf(loaded: readonly number[], position: number): number | null {
  let nearest: number | null = null
  for (const s of loaded) {
    if (isAttention(s) !== isAttention(position) || s === position) continue
    if (nearest === null || Math.abs(s - position) < Math.abs(nearest - position)) nearest = s
  }
  return nearest
}

/** Positions that ran with `goes`' weights, itself apart, run with those of the nearest loaded sub-block of its type. */
export function withoutSource(plan: Plan, goes: number, loaded: readonly number[]): Plan {
  let result = plan
  for (const [position, source] of plan.table.entries()) {
    if (source !== goes || position === goes) continue
    result = rewired(result, position, nearestOf(loaded, position), plan.scales[position])
  }
  return result
}
