import type { Plan } from '../../plan/plan.js'
import type { TraceCompensation } from './compensate.js'
import type { Removal } from '../moves/joint.js'
import type { Metric, Work } from '../measure/evaluator.js'
import type { RefineStep } from '../moves/refine.js'
import type { ReuseOrder, ReuseStep } from '../moves/reuse.js'
import type { Beam, SkipStep } from '../moves/skip.js'

/** A merge that was tried. */
export interface Merge {
  /** The block that was merged into its successor. */
  readonly block: number
  /** Similarity of the output to the dense encoder's, with it. */
  readonly similarity: number
  readonly threshold: number
  readonly kept: boolean
}

/**
 * All that a search measured, as `--trace` writes it; D is the sum of both means. docs/selection.md has the format. -1 stands
 * for a skipped position, null for a neighbour or a D that does not exist.
 */
export interface Trace {
  readonly method: string
  readonly metric: Metric
  readonly projection: boolean
  /** Beam search: absent in methods without one. */
  readonly k?: number
  readonly target?: number
  readonly dedup_by_set?: boolean
  readonly steps?: readonly TraceStep[]
  readonly final_beams?: readonly TraceBeam[]
  readonly result?: TraceBeam
  /** By order: the one that was run. */
  readonly reuse?: Partial<Record<'pruning' | 'ascending', TraceReuse>>
  /** Block influences, by block: ShortGPT. */
  readonly influence?: readonly number[]
  /** Merges that were tried: LaCo. */
  readonly merges?: readonly Merge[]
  /** The removals of skrr's second start, each after the one before. */
  readonly joint?: readonly TraceJoint[]
  /** Which start led to the plan: the end of `steps` or of `joint`. */
  readonly start?: 'skip' | 'joint'
  /** Changes of the local search from there. */
  readonly refine?: readonly TraceRefine[]
  /** The fit of a compensation to the plan. */
  readonly compensation?: TraceCompensation
  /** D of the plan that was chosen, and its terms. */
  readonly D: number
  readonly D_calibration: number
  readonly D_null: number
  readonly work: Work
}

export interface TraceBeam {
  readonly skips: readonly number[]
  readonly D: number
}

export interface TraceStep {
  readonly beams_in: readonly TraceBeam[]
  readonly expansions: readonly {
    readonly parent: number
    readonly add: number
    readonly skips: readonly number[]
    readonly D: number | null
  }[]
  readonly kept: readonly number[]
}

export interface TraceReuse {
  readonly order: 'pruning' | 'ascending'
  readonly trace: readonly {
    readonly i: number
    readonly l: number | null
    readonly r: number | null
    readonly D_current: number
    readonly D_l: number | null
    readonly D_r: number | null
    readonly choice: string
  }[]
  readonly plan: readonly number[]
  readonly D: number
}

export interface TraceJoint {
  readonly skips: readonly number[]
  readonly plan: readonly number[]
  readonly scales: readonly number[]
  readonly D: number
}

export interface TraceRefine {
  readonly move: string
  readonly plan: readonly number[]
  readonly scales: readonly number[]
  readonly D: number
}

export function skipTrace(
  options: { beams: number; dedup: boolean },
  found: { beams: readonly Beam[]; steps: readonly SkipStep[] },
): Pick<Trace, 'k' | 'target' | 'dedup_by_set' | 'steps' | 'final_beams' | 'result'> {
  return {
    k: options.beams,
    target: found.beams[0]!.skips.length,
    dedup_by_set: options.dedup,
    steps: found.steps.map(({ beamsIn, expansions, kept }) => ({
      beams_in: beamsIn.map(beam),
      expansions: expansions.map(({ D, ...expansion }) => ({ ...expansion, D: D?.total ?? null })),
      kept,
    })),
    final_beams: found.beams.map(beam),
    result: beam(found.beams[0]!),
  }
}

export function reuseTrace(
  order: ReuseOrder,
  found: { plan: Plan; D: { total: number }; steps: readonly ReuseStep[] },
): Pick<Trace, 'reuse'> {
  const name = order === 'pruned' ? 'pruning' : 'ascending'
  const trace = found.steps.map(({ at, left, right, current, withLeft, withRight, choice }) => ({
    i: at,
    l: left,
    r: right,
    D_current: current.total,
    D_l: withLeft?.total ?? null,
    D_r: withRight?.total ?? null,
    choice,
  }))
  return { reuse: { [name]: { order: name, trace, plan: tableOf(found.plan), D: found.D.total } } }
}

export function jointTrace({ before, skips, plan, D }: Removal): TraceJoint[] {
  if (before === undefined) return []
  return [...jointTrace(before), { skips, plan: tableOf(plan), scales: plan.scales, D: D.total }]
}

export const refineTrace = ({ move, plan, D }: RefineStep): TraceRefine => ({
  move,
  plan: tableOf(plan),
  scales: plan.scales,
  D: D.total,
})

const tableOf = (plan: Plan): number[] => plan.table.map((source) => source ?? -1)
const beam = ({ skips, D }: Beam): TraceBeam => ({ skips, D: D.total })
