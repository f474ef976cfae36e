import { blocksOf } from '../../model/architecture.js'
import { Plan } from '../../plan/plan.js'
import type { Discrepancy, Evaluator } from '../measure/evaluator.js'
import { chooseReuse, type ReuseOrder } from './reuse.js'
import { lacoMerges } from './laco.js'
import { blockInfluence, skipsOf } from './shortgpt.js'
import { searchSkips } from './skip.js'
import { reuseTrace, skipTrace, type Trace } from '../trace.js'

/**
 * skrr: beams are sets, then local search with damped re-use, residual scales and exchanges, from two starts (skrr.ts).
 * paper: Skrr as published, Algorithms 1 and 2.
 * finercut: Algorithm 1 with one beam, on the encoder's own output: no projection, no null condition.
 * shortgpt: whole blocks by their influence.
 * laco: whole blocks merged into their successors while the output stays similar.
 */
export const METHODS = ['skrr', 'paper', 'finercut', 'shortgpt', 'laco'] as const
export type Method = (typeof METHODS)[number]

export interface MethodOptions {
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

/**
 * Algorithm 1, then Algorithm 2 where asked for: paper and FinerCut.
 * @param skipping by what the skips are chosen; FinerCut has a measure of its own
 */
export async function beamMethod(
  evaluator: Evaluator,
  options: MethodOptions,
  skipping = evaluator,
): Promise<Chosen> {
  const found = await skipPhase(skipping, options)
  const { skips } = found.beams[0]!
  return withReuse(evaluator, options, skips, skipTrace(options, found))
}

/** Needs no D for its skips; the evaluator serves Algorithm 2 on top. */
export async function shortGptMethod(evaluator: Evaluator, options: MethodOptions): Promise<Chosen> {
  const { engine, architecture, chunks } = evaluator
  const { order, influence } = await blockInfluence(engine, blocksOf(architecture), chunks, options.signal)
  return withReuse(evaluator, options, skipsOf(order, options.reached), { influence })
}

/** @param output measures the cosine of the encoder's own output */
export async function lacoMethod(
  evaluator: Evaluator,
  options: MethodOptions,
  output: Evaluator,
): Promise<Chosen> {
  const { skips, merges } = await lacoMerges(output, options.reached)
  return withReuse(evaluator, options, skips, { merges })
}

/** Algorithm 1, its progress told. */
export async function skipPhase(
  evaluator: Evaluator,
  options: MethodOptions,
): ReturnType<typeof searchSkips> {
  const blocks = blocksOf(evaluator.architecture)
  let best: { plan: Plan; D: Discrepancy | undefined } = { plan: Plan.dense(blocks), D: undefined }
  let step = 0
  return searchSkips(evaluator, {
    ...options,
    onStep: ([beam]) => {
      step++
      best = { plan: Plan.skip(blocks, beam!.skips), D: beam!.D }
      options.onProgress({ phase: 'skip', ...best, step })
    },
    onExpansion: (done, total) =>
      options.onProgress({ phase: 'skip', ...best, step: step + done / (total + 1) }),
  })
}

async function withReuse(
  evaluator: Evaluator,
  { reuse, reuseOrder, all, onProgress }: MethodOptions,
  skips: readonly number[],
  trace: Partial<Trace>,
): Promise<Chosen> {
  if (!reuse) return { plan: Plan.skip(blocksOf(evaluator.architecture), skips), skips, trace }
  const found = await chooseReuse(evaluator, skips, {
    order: reuseOrder,
    all,
    onStep: (plan, D, step) => onProgress({ phase: 'reuse', plan, D, step }),
  })
  return { plan: found.plan, skips, trace: { ...trace, ...reuseTrace(reuseOrder, found) } }
}
