import type { Plan } from '../plan/plan.js'
import type { Discrepancy, Work } from './measure/evaluator.js'
import type { Trace } from './methods/trace.js'

/** What a search found. */
export interface Selection {
  readonly plan: Plan
  readonly D: Discrepancy
  /** The terms of D over the mean squares of the dense features they compare with (metric mse). */
  readonly relative: Omit<Discrepancy, 'total'>
  /** Norm of the null condition's features over the dense encoder's. Far from 1 ruins images, whatever D says. */
  readonly nullNorm: number
  readonly work: Work
  /** Bytes of cached states at most. */
  readonly cachePeak: number
  readonly trace: Trace
}
