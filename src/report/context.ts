import type { Architecture } from '../model/architecture.js'
import type { Precision } from '../model/precision.js'
import type { Similarity } from '../select/measure/similarity.js'

/** What a report says beside the selections. */
export interface ReportContext {
  readonly architecture: Architecture
  /** That bytes are counted in. */
  readonly precision: Precision
  /** Paths as the user gave them: for the headline and the command that uses the plan. */
  readonly model: string
  readonly plan: string
  /** Heat maps; left out where absent (measureSimilarity gives them). */
  readonly similarity?: Similarity | undefined
}
