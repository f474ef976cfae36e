import type { Plan } from '../../plan/plan.js'
import type { Candidate, Discrepancy, Evaluator } from './evaluator.js'

/** D values closer than this (relative) count as equal, and the first in order wins: rounding never decides. */
export const NEAR_TIE = 1e-6

export interface Ranked {
  /** Index into the plans that were given. */
  readonly index: number
  readonly D: Discrepancy
  /** What it is ranked by. */
  readonly value: number
}

export interface RankOptions {
  /** Plans already measured, by whose errors the chunks are ordered. */
  readonly like?: readonly Plan[] | undefined
  /** Measure every plan in full and return them all: for a trace. */
  readonly all?: boolean | undefined
  /** Nothing at or above this D is looked for. */
  readonly below?: number | undefined
  /** Plans are ranked by D over this, each its own: what the D buys. Default: by D. */
  readonly per?: readonly number[] | undefined
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/**
 * The k plans of smallest D, best first, ties and near-ties in the order given; behind them whatever else was measured in full,
 * what is near a tie with the k-th among it. Exactly what measuring all of them would give, with less work: D is a sum of non-negative terms, so what a plan has gathered so far bounds its D from below. The plan with the
 * lowest bound is always measured on; once k are complete, whatever has gathered more is out.
 */
export async function rank(
  evaluator: Evaluator,
  plans: readonly Plan[],
  k: number,
  options: RankOptions = {},
): Promise<Ranked[]> {
  const runners = plans.map(
    (plan, index) => new Runner(index, evaluator.candidate(plan), options.per?.[index] ?? 1),
  )
  for (const { candidate } of runners) evaluator.request(candidate)
  if (options.all === true || evaluator.naive) {
    for (const runner of runners) {
      for (const chunk of evaluator.chunks.keys()) await runner.advance(evaluator, chunk)
      options.onProgress?.(runner.index + 1, runners.length)
    }
    return inOrder(runners.map((runner) => runner.finish(evaluator)))
  }
  const order = evaluator.failFastOrder((options.like ?? []).map((plan) => evaluator.candidate(plan)))
  const open = new Set(runners)
  const finished: Ranked[] = []
  for (;;) {
    const next = lowest(open)
    if (next === undefined || next.bound >= (options.below ?? Infinity)) break
    const last = inOrder(finished)[k - 1]
    if (last !== undefined && next.bound > groupEnd(finished, last)) break
    if (next.done === order.length) {
      open.delete(next)
      finished.push(next.finish(evaluator))
    } else {
      await next.advance(evaluator, order[next.done]!)
    }
    options.onProgress?.(finished.length, k)
  }
  return inOrder(finished)
}

/** A plan on its way through the chunks. */
class Runner {
  done = 0
  /** Never above its value; D is summed in another order, hence the margin while it is incomplete. */
  bound = 0
  #sum = 0

  constructor(
    readonly index: number,
    readonly candidate: Candidate,
    readonly per: number,
  ) {}

  async advance(evaluator: Evaluator, chunk: number): Promise<void> {
    this.#sum += await evaluator.measure(this.candidate, chunk)
    this.done++
    const complete = this.done === evaluator.chunks.length
    const D = complete ? evaluator.total(this.candidate).total : this.#sum * (1 - 1e-12)
    this.bound = D / this.per
  }

  finish(evaluator: Evaluator): Ranked {
    const D = evaluator.total(this.candidate)
    return { index: this.index, D, value: D.total / this.per }
  }
}

function lowest(open: ReadonlySet<Runner>): Runner | undefined {
  let best: Runner | undefined
  for (const runner of open) {
    if (best === undefined || runner.bound < best.bound) best = runner // a set keeps the order: the first wins a tie
  }
  return best
}

/** Up to where a value counts as equal to that of `ranked`: its group is led by the smallest that is near it. */
function groupEnd(finished: readonly Ranked[], ranked: Ranked): number {
  const leader = leaders(finished).findLast(({ value }) => value <= ranked.value)!
  return leader.value * (1 + NEAR_TIE)
}

/** The smallest of each group of near-ties: each value within NEAR_TIE of its group's first. */
function leaders(ranked: readonly Ranked[]): Ranked[] {
  const found: Ranked[] = []
  for (const next of [...ranked].sort((a, b) => a.value - b.value || a.index - b.index)) {
    const leader = found.at(-1)
    if (leader === undefined || next.value > leader.value * (1 + NEAR_TIE)) found.push(next)
  }
  return found
}

function inOrder(ranked: readonly Ranked[]): Ranked[] {
  const starts = leaders(ranked).map(({ value }) => value)
  const group = ({ value }: Ranked): number => starts.findLastIndex((start) => start <= value)
  return [...ranked].sort((a, b) => group(a) - group(b) || a.index - b.index)
}
