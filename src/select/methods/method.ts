import type { Plan } from '../../plan/plan.js'
import type { Discrepancy, Metric } from '../measure/evaluator.js'
import type { Evaluators } from '../measure/evaluators.js'
import type { ReuseOrder } from '../moves/reuse.js'
import type { Trace } from './trace.js'

/**
 * skrr: beams are sets, then local search with damped re-use, residual scales and exchanges, from two starts.
 * paper: Skrr as published, Algorithms 1 and 2.
 * finercut: Algorithm 1 with one beam, on the encoder's own output: no projection, no null condition.
 * shortgpt: whole blocks by their influence.
 * laco: whole blocks merged into their successors while the output stays similar.
 */
export const METHODS = ['skrr', 'paper', 'finercut', 'shortgpt', 'laco'] as const
export type Method = (typeof METHODS)[number]

export interface MethodOptions {
  readonly metric: Metric
  readonly beams: number
  readonly dedup: boolean
  /** Run Algorithm 2 after the method's own skips. */
  readonly reuse: boolean
  readonly reuseOrder: ReuseOrder
  /** skrr: start from a search for skips and re-use together, too. */
  readonly joint: boolean
  readonly reached: (skips: readonly number[]) => boolean
  /** Measure every expansion in full. */
  readonly all: boolean
  readonly signal?: AbortSignal | undefined
  readonly onProgress: (progress: MethodProgress) => void
}

export interface MethodProgress {
  readonly phase: 'skip' | 'reuse' | 'joint' | 'refine'
  /** Best plan so far. */
  readonly plan: Plan
  readonly D: Discrepancy | undefined
  /** Steps done in this phase; in `skip`, the fraction of the one under way is added. */
  readonly step: number
}

/** What a method chose, and what it saw on the way. */
export interface Chosen {
  readonly plan: Plan
  /** Sub-blocks in the order in which they were removed: a shorter beginning is a plan of lower sparsity. */
  readonly skips: readonly number[]
  readonly trace: Partial<Trace>
}

/** How a method searches: one file each in this folder. */
export type Search = (evaluators: Evaluators, options: MethodOptions) => Promise<Chosen>
