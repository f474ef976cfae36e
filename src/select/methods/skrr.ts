import { blocksOf } from '../../model/parameters.js'
import { Plan } from '../../plan/plan.js'
import { searchJoint, type Removal } from '../moves/joint.js'
import type { Standing } from '../moves/local-search.js'
import type { Evaluator } from '../measure/evaluator.js'
import type { MethodOptions, Search } from './method.js'
import { skipPhase } from './phases.js'
import { NEAR_TIE } from '../measure/rank.js'
import { refine, type RefineStep } from '../moves/refine.js'
import { jointTrace, refineTrace, skipTrace } from './trace.js'

/** From where the local search sets out. */
interface Start extends Pick<Removal, 'plan' | 'D' | 'skips'> {
  readonly from: 'skip' | 'joint'
}

/**
 * Our own method: local search (refine.ts) from where Algorithm 1 ends, and from where a search for skips and re-use together
 * (joint.ts) ends; the better of the two plans. So it is never worse than the first alone.
 */
export const searchSkrr: Search = async ({ judge: evaluator }, options) => {
  const found = await skipPhase(evaluator, options)
  const joint = options.joint ? await jointPhase(evaluator, options) : undefined
  const { skips, D } = found.beams[0]!
  let best = await refined(evaluator, options, {
    from: 'skip',
    skips,
    plan: Plan.skip(blocksOf(evaluator.architecture), skips),
    D,
  })
  if (joint !== undefined) {
    const other = await refined(evaluator, options, { from: 'joint', ...joint }, best.end)
    if (other.end.D.total < best.end.D.total * (1 - NEAR_TIE)) best = other
  }
  return {
    plan: best.end.plan,
    skips: best.start.skips,
    trace: {
      ...skipTrace(options, found),
      ...(joint && { joint: jointTrace(joint) }),
      start: best.start.from,
      refine: best.steps.map(refineTrace),
    },
  }
}

async function jointPhase(evaluator: Evaluator, options: MethodOptions): Promise<Removal> {
  return searchJoint(evaluator, {
    ...options,
    onStep: ({ plan, D, skips }) => options.onProgress({ phase: 'joint', plan, D, step: skips.length }),
  })
}

/** @param rival what is better than this only is shown as the best so far */
async function refined(
  evaluator: Evaluator,
  { reached, onProgress }: MethodOptions,
  start: Start,
  rival?: Standing,
) {
  const all = [...start.plan.table.keys()]
  const fits = (loaded: readonly number[]): boolean => reached(all.filter((s) => !loaded.includes(s)))
  const steps: RefineStep[] = []
  const end = await refine(evaluator, start, fits, (step) => {
    steps.push(step)
    const { plan, D } = rival && rival.D.total <= step.D.total ? rival : step
    onProgress({ phase: 'refine', plan, D, step: steps.length })
  })
  return { start, end, steps }
}
