import type { Architecture } from '../model/architecture.js'
import type { Precision } from '../model/precision.js'
import type { Similarity } from '../select/measure/similarity.js'

/** What a report needs beside the selections. */
export interface ReportContext {
  readonly architecture: Architecture
  /** The precision that bytes are counted in. */
  readonly precision: Precision
  /** Paths as the user gave them, for the headline and for the command that uses the plan. */
  readonly model: string
  readonly plan: string
  /** For the heat maps, which are left out where this is absent (measureSimilarity gives it). */
  readonly similarity?: Similarity | undefined
}
