import { blocksOf } from '../../model/parameters.js'
import { Plan } from '../../plan/plan.js'
import type { Discrepancy, Evaluator } from '../measure/evaluator.js'
import { rank } from '../measure/rank.js'

/** A beam: sub-blocks in the order in which they were removed. */
export interface Beam {
  readonly skips: readonly number[]
  readonly D: Discrepancy
}

/** One measured expansion of a step. */
export interface Expansion {
  /** Index of the beam that was expanded. */
  readonly parent: number
  readonly add: number
  readonly skips: readonly number[]
  /** Absent where it was given up early: it is above that of all that were kept. */
  readonly D?: Discrepancy | undefined
}

export interface SkipStep {
  readonly beamsIn: readonly Beam[]
  readonly expansions: readonly Expansion[]
  /** Indices of the expansions that became the next beams, best first. */
  readonly kept: readonly number[]
}

export interface SkipOptions {
  readonly beams: number
  /** Of lists that are permutations of one set, only a step's first stays: the beams are different sets. */
  readonly dedup: boolean
  /** The search ends when the best beam satisfies it. */
  readonly reached: (skips: readonly number[]) => boolean
  /** Measure every expansion in full, for the trace. */
  readonly all?: boolean | undefined
  readonly onStep?: ((beams: readonly Beam[]) => void) | undefined
  readonly onExpansion?: ((done: number, total: number) => void) | undefined
}

/**
 * Skrr's phase 1 (arXiv 2502.08690, Algorithm 1): beam search over lists of skipped sub-blocks. Every beam is expanded, in
 * order, by every sub-block it has not skipped, ascending; the `beams` expansions of smallest D stay, earlier ones first where D
 * is equal. Ends when the best beam has reached the target, or has nothing left to skip.
 */
export async function searchSkips(
  evaluator: Evaluator,
  options: SkipOptions,
): Promise<{ beams: readonly Beam[]; steps: readonly SkipStep[] }> {
  const blocks = blocksOf(evaluator.architecture)
  let beams: readonly Beam[] = [{ skips: [], D: { total: 0, calibration: 0, null: 0 } }]
  const steps: SkipStep[] = []
  while (!options.reached(beams[0]!.skips) && beams[0]!.skips.length < 2 * blocks) {
    const expansions = expand(beams, 2 * blocks, options.dedup)
    const plans = expansions.map(({ skips }) => Plan.skip(blocks, skips))
    evaluator.retain(plans)
    const ranked = await rank(evaluator, plans, options.beams, {
      like: beams.map(({ skips }) => Plan.skip(blocks, skips)),
      all: options.all,
      onProgress: options.onExpansion,
    })
    const measured = new Map(ranked.map(({ index, D }) => [index, D]))
    const kept = ranked.slice(0, options.beams).map(({ index }) => index)
    steps.push({
      beamsIn: beams,
      expansions: expansions.map((expansion, i) => ({ ...expansion, D: measured.get(i) })),
      kept,
    })
    beams = kept.map((index) => ({ skips: expansions[index]!.skips, D: measured.get(index)! }))
    options.onStep?.(beams)
  }
  return { beams, steps }
}

/** Every list with one more sub-block, in order; with `dedup` only the first of those that are one set. */
export function expand(beams: readonly Beam[], subBlocks: number, dedup: boolean): Expansion[] {
  const seen = new Set<string>()
  const expansions: Expansion[] = []
  for (const [parent, { skips }] of beams.entries()) {
    for (let add = 0; add < subBlocks; add++) {
      if (skips.includes(add)) continue
      const set = [...skips, add].sort((a, b) => a - b).join(' ')
      if (dedup && seen.has(set)) continue
      seen.add(set)
      expansions.push({ parent, add, skips: [...skips, add] })
    }
  }
  return expansions
}
