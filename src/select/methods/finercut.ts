import type { Search } from './method.js'
import { skipThenReuse } from './phases.js'

/** FinerCut: Algorithm 1 on the encoder's own output, which is all it looks at: no projection, no null condition. */
export const searchFinerCut: Search = async (evaluators, options) => {
  const output = await evaluators.output(options.metric)
  return await skipThenReuse(evaluators.judge, options, output)
}
