import { InputError } from '../../errors.js'
import type { Architecture } from '../../model/architecture.js'
import type { Plan } from '../../plan/plan.js'
import type { Chunk } from '../measure/calibration.js'
import { MapFit } from './map-fit.js'
import type { Evaluator } from '../measure/evaluator.js'

/**
 * A compensation for a plan that was chosen: the low-rank map of its output that comes nearest to the dense encoder's, by ridge
 * regression in closed form (cpu/regression.h). A map fitted too closely to few tokens raises D on others, so a fifth of the
 * chunks is held out, the ridge is chosen by D on those, and where none lowers it by a percent there is no map.
 */

/** Ridges tried, in mean squares of a channel: the more tokens, the smaller the best. */
const RIDGES = [10, 3, 1, 0.3, 0.1, 0.03, 0.01]
/** Of the calibration set, the fifth chunk, the tenth, ... are held out; the null condition, which stays what it is, never. */
const HELD_OUT = 5
/** Of the calibration set. With fewer, one at most would be held out. */
const MIN_CHUNKS = 8
const MIN_GAIN = 0.01

/** What was tried and what came of it. D in it is taken on what was held out and the null condition. */
export interface TraceCompensation {
  readonly rank: number
  readonly held_out: { readonly tokens: number; readonly D: number }
  readonly ridges: readonly { readonly ridge: number; readonly D: number }[]
  /** null where no ridge lowers D enough: the plan has no compensation then. */
  readonly ridge: number | null
}

export interface Compensated {
  /** With its ridge chosen, the map is fitted to the whole calibration set. */
  readonly plan: Plan
  readonly trace: TraceCompensation
}

/** @throws InputError where a compensation of this rank cannot be fitted */
export function checkCompensable(rank: number, { width }: Architecture, chunks: readonly Chunk[]): void {
  const field = 'compensate'
  if (rank > width) {
    throw new InputError({ field, found: `rank ${rank}`, expected: `at most ${width}, the encoder's width` })
  }
  const count = chunks.filter(({ isNull }) => !isNull).length
  if (count >= MIN_CHUNKS) return
  throw new InputError({
    field,
    found: `a calibration set of ${count} ${count === 1 ? 'part' : 'parts'}`,
    expected: `at least ${MIN_CHUNKS}, to hold some out of the fit`,
    hint: 'Use more prompts, or a smaller chunkTokens',
  })
}

/** For the plan's file: how the map was fitted, and what it was worth on what was held out. */
export function provenanceOf({ ridge, held_out, ridges }: TraceCompensation): Record<string, unknown> {
  const after = ridges.find((each) => each.ridge === ridge)!.D
  return { ridge, heldOut: { tokens: held_out.tokens, D: held_out.D, withCompensation: after } }
}

/** @param onStep called after each step, with how many are done and of how many */
export async function compensate(
  evaluator: Evaluator,
  plan: Plan,
  rank: number,
  onStep: (done: number, of: number) => void,
): Promise<Compensated> {
  const { fitted, heldOut, nulls } = split(evaluator.chunks)
  const steps = evaluator.chunks.length + nulls.length + RIDGES.length + 1
  let done = 0
  const step = (): void => onStep(++done, steps)
  const tokensOf = (some: readonly number[]): number =>
    some.reduce((sum, chunk) => sum + evaluator.chunks[chunk]!.tokens, 0)

  evaluator.retain([plan])
  const fit = await MapFit.create(evaluator, plan)
  /** Both terms of D weigh the same, so the null condition's few tokens count as much as all the others. */
  const add = async (some: readonly number[]): Promise<void> => {
    for (const chunk of some) await fit.add(chunk, 1).then(step)
    for (const chunk of nulls) await fit.add(chunk, tokensOf(some) / tokensOf(nulls)).then(step)
  }
  const heldOutD = async (candidate: Plan): Promise<number> => {
    const share = tokensOf(heldOut) / tokensOf([...fitted, ...heldOut])
    const measured = evaluator.candidate(candidate)
    let D = 0
    for (const chunk of heldOut) D += (await evaluator.measure(measured, chunk)) / share
    for (const chunk of nulls) D += await evaluator.measure(measured, chunk)
    return D
  }
  try {
    await add(fitted)
    const before = await heldOutD(plan)
    const ridges: { ridge: number; D: number }[] = []
    for (const ridge of RIDGES) {
      ridges.push({ ridge, D: await heldOutD(await fit.solve(rank, ridge)) })
      step()
    }
    const best = ridges.reduce((least, each) => (each.D < least.D ? each : least))
    const trace = { rank, held_out: { tokens: tokensOf(heldOut), D: before }, ridges }
    if (!(best.D < before * (1 - MIN_GAIN))) return { plan, trace: { ...trace, ridge: null } }
    await add(heldOut)
    const compensated = await fit.solve(rank, best.ridge)
    step()
    return { plan: compensated, trace: { ...trace, ridge: best.ridge } }
  } finally {
    fit.dispose()
  }
}

function split(chunks: readonly Chunk[]): { fitted: number[]; heldOut: number[]; nulls: number[] } {
  const parts = { fitted: [] as number[], heldOut: [] as number[], nulls: [] as number[] }
  for (const [index, { isNull }] of chunks.entries()) {
    if (isNull) parts.nulls.push(index)
    else if (index % HELD_OUT === HELD_OUT - 1) parts.heldOut.push(index)
    else parts.fitted.push(index)
  }
  return parts
}
