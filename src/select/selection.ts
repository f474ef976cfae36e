import { fingerprint } from '../model/fingerprint.js'
import type { Evaluators } from './measure/evaluators.js'
import { provenanceOf } from './methods/compensate.js'
import type { Chosen } from './methods/method.js'
import type { Selection } from './result.js'
import type { SelectOptions, Settings } from './settings.js'

/** What a search says of the plan it chose; `work` is read before the plan is measured for that. */
export async function conclude(
  { judge, work }: Evaluators,
  chosen: Chosen,
  options: SelectOptions,
  settings: Settings,
): Promise<Selection> {
  const { architecture, chunks } = judge
  const D = await judge.discrepancy(chosen.plan)
  const norms = await judge.norms(chosen.plan)
  const { method, metric } = settings
  const projection = options.projection !== undefined
  const plan = chosen.plan.with({
    fingerprint: fingerprint(architecture),
    provenance: {
      ...provenance(chosen, options, settings),
      tokens: chunks.reduce((total, { tokens }) => total + tokens, 0),
      skips: chosen.skips,
      D: { ...D },
    },
  })
  return {
    plan,
    D,
    relative: {
      calibration: D.calibration / norms.calibration.dense,
      null: D.null / norms.null.dense,
    },
    nullNorm: Math.sqrt(norms.null.squares / norms.null.dense),
    work,
    cachePeak: judge.memory.cachePeak,
    trace: {
      method,
      metric,
      projection,
      ...chosen.trace,
      D: D.total,
      D_calibration: D.calibration,
      D_null: D.null,
      work,
    },
  }
}

/** What the plan was chosen by, and nothing that another run of the same search would write otherwise. */
function provenance(
  { plan, trace }: Chosen,
  options: SelectOptions,
  { method, metric, beams, dedup, reuse, reuseOrder, joint }: Settings,
): Record<string, unknown> {
  return {
    method,
    target: { ...options.target },
    metric,
    projection: options.projection !== undefined,
    ...(!['shortgpt', 'laco'].includes(method) && { beams, dedup }),
    ...(method === 'skrr' ? { joint } : { reuse: reuse ? reuseOrder : 'none' }),
    ...(plan.compensation && { compensation: provenanceOf(trace.compensation!) }),
  }
}
