import { type Architecture } from '../model/architecture.js'
import { blocksOf } from '../model/parameters.js'
import type { Precision } from '../model/precision.js'
import { Plan } from '../plan/plan.js'
import type { Selection } from '../select/index.js'
import { weightBytes } from '../select/measure/target.js'
import type { Trace } from '../select/methods/trace.js'

/** A plan on the way to the one that was chosen. */
export interface CoursePoint {
  /** Sub-blocks removed. Later changes share the stretch behind the last removal, at most half as wide as the removals'. */
  readonly x: number
  readonly phase: 'skip' | 'reuse' | 'refine' | 'compensate'
  readonly D: number
  /** Of the plan's weights. */
  readonly bytes: number
  /** The sub-block removed, or what was changed. */
  readonly label: string
}

/**
 * D over the course of a search, from its trace: after each removal of the best beam, then after each change that followed. Where
 * the removals were chosen by another discrepancy, only they are returned: the later D is on another scale.
 */
export function courseOf(
  selection: Selection,
  architecture: Architecture,
  precision: Precision,
): CoursePoint[] {
  const { trace } = selection
  const bytesOf = (table: readonly (number | null)[]): number =>
    weightBytes(new Plan(table), architecture, precision)
  const removed = removals(trace, blocksOf(architecture)).map(({ skips, D, table }) => ({
    phase: 'skip' as const,
    D,
    bytes: bytesOf(table),
    label: String(skips.at(-1)),
  }))
  // Algorithm 2 loads nothing that was removed
  const { bytes } = removed.at(-1) ?? { bytes: 0 }
  const later: Omit<CoursePoint, 'x'>[] = !isComparable(selection)
    ? []
    : [
        ...reuses(trace).map((step) => ({ ...step, phase: 'reuse' as const, bytes })),
        ...(trace.refine ?? []).map(({ move, plan, D }) => ({
          phase: 'refine' as const,
          D,
          bytes: bytesOf(tableOf(plan)),
          label: move,
        })),
      ]
  if (isComparable(selection) && selection.plan.compensation) {
    const { D, plan } = selection
    const bytes = weightBytes(plan, architecture, precision)
    later.push({ phase: 'compensate', D: D.total, bytes, label: 'compensation' })
  }
  const stride = Math.min(1, removed.length / 2 / later.length)
  return [
    ...removed.map((point, i) => ({ ...point, x: i + 1 })),
    ...later.map((point, i) => ({ ...point, x: removed.length + stride * (i + 1) })),
  ]
}

/** Whether a course's D is the one that plans are compared by. FinerCut removes by a D without projection and null condition. */
export const isComparable = ({ trace }: Selection): boolean => trace.method !== 'finercut'

/** The other beams after each removal. The joint search's are not in the trace. */
export function otherBeams({ trace }: Selection): { x: number; D: number; label: string }[] {
  if (trace.start === 'joint') return []
  return (trace.steps ?? []).flatMap(({ expansions, kept }, i) =>
    kept.slice(1).flatMap((index) => {
      const { D = null, skips = [] } = expansions[index] ?? {}
      return D === null ? [] : [{ x: i + 1, D, label: skips.join(' ') }]
    }),
  )
}

/** The removals that led to the plan: the joint search's, or the beginnings of the final skip list. */
function removals(
  { steps = [], result, start, joint = [] }: Trace,
  blocks: number,
): { skips: readonly number[]; D: number; table: readonly (number | null)[] }[] {
  if (start === 'joint') return joint.map(({ skips, D, plan }) => ({ skips, D, table: tableOf(plan) }))
  return steps.flatMap(({ expansions }, i) => {
    const list = result?.skips.slice(0, i + 1) ?? []
    const found = expansions.find(({ skips }) => skips.every((skip, n) => skip === list[n]))
    if (found === undefined || found.D === null) return []
    return [{ skips: list, D: found.D, table: Plan.skip(blocks, list).table }]
  })
}

const tableOf = (plan: readonly number[]): (number | null)[] =>
  plan.map((source) => (source < 0 ? null : source))

function reuses({ reuse, steps }: Trace): { D: number; label: string }[] {
  const run = reuse?.pruning ?? reuse?.ascending
  if (run === undefined || steps === undefined) return []
  return run.trace.map(({ i, l, r, choice, D_current, D_l, D_r }) => {
    if (choice === 'left') return { D: D_l!, label: `${i}←${l}` }
    if (choice === 'right') return { D: D_r!, label: `${i}←${r}` }
    return { D: D_current, label: `${i} stays skipped` }
  })
}
