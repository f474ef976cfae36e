import { writeFileAtomically } from '../checkpoint/atomic.js'
import { InputError } from '../errors.js'
import type { Geometry } from '../geometry.js'
import type { Precision } from '../precision.js'
import type { Selection } from '../select/index.js'
import type { Similarity } from '../select/similarity.js'

/** What a report says beside the selections. */
export interface ReportContext {
  readonly geometry: Geometry
  /** That bytes are counted in. */
  readonly precision: Precision
  /** Paths as the user gave them: for the headline and the command that uses the plan. */
  readonly model: string
  readonly plan: string
  /** Heat maps; left out where absent (measureSimilarity gives them). */
  readonly similarity?: Similarity | undefined
}

/**
 * Writes one HTML file that needs nothing else to be seen: no network, no script. The first selection is what it is about; others
 * (another method, another target) are set beside it.
 * @throws InputError for no selection; OutputError
 */
export async function writeReport(
  file: string,
  selections: readonly Selection[],
  context: ReportContext,
): Promise<void> {
  const [chosen, ...others] = selections
  if (chosen === undefined) {
    throw new InputError({ field: 'selections', found: 'none', expected: 'at least one' })
  }
  const { reportPage } = await import('./page.js') // the charts' library is only loaded for a report
  const page = reportPage(chosen, others, context)
  await writeFileAtomically(file, (handle) => handle.writeFile(page))
}
