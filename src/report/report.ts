import { writeFileAtomically } from '../io/atomic.js'
import { InputError } from '../errors.js'
import { checkPath } from '../io/arguments.js'
import { checkReport } from './check.js'
import type { Selection } from '../select/index.js'
import type { ReportContext } from './context.js'

/**
 * Writes one HTML file that shows without network and scripts. It is about the first selection; the others (another method,
 * another target) are compared with it.
 * @throws InputError for no selection; OutputError
 */
export async function writeReport(
  file: string,
  selections: readonly Selection[],
  context: ReportContext,
): Promise<void> {
  checkPath(file, 'file')
  const page = await renderReport(selections, context)
  await writeFileAtomically(file, (handle) => handle.writeFile(page))
}

/** The page of writeReport(). */
export async function renderReport(
  selections: readonly Selection[],
  context: ReportContext,
): Promise<string> {
  checkReport(selections, context)
  const [chosen, ...others] = selections
  if (chosen === undefined) {
    throw new InputError({ field: 'selections', found: 'none', expected: 'at least one' })
  }
  const { reportPage } = await import('./page.js') // the charts' library is only loaded for a report
  return reportPage(chosen, others, context)
}
