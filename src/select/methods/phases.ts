import { blocksOf } from '../../model/parameters.js'
import { Plan } from '../../plan/plan.js'
import type { Discrepancy, Evaluator } from '../measure/evaluator.js'
import { chooseReuse } from '../moves/reuse.js'
import { searchSkips } from '../moves/skip.js'
import type { Chosen, MethodOptions } from './method.js'
import { reuseTrace, skipTrace, type Trace } from './trace.js'

/**
 * Algorithm 1, then Algorithm 2 where asked for.
 * @param skipping by what the skips are chosen, where that is not D
 */
export async function skipThenReuse(
  judge: Evaluator,
  options: MethodOptions,
  skipping = judge,
): Promise<Chosen> {
  const found = await skipPhase(skipping, options)
  const { skips } = found.beams[0]!
  return withReuse(judge, options, skips, skipTrace(options, found))
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

/** A plan that skips these; Algorithm 2 on top, where asked for. */
export async function withReuse(
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
