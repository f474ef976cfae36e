import type { Encoder } from '../encoder.js'
import { renderReport } from '../report/report.js'
import { selectPlan, type CalibrationInput, type Selection, type SelectOptions } from '../select/index.js'
import { METHODS, type Method } from '../select/methods/method.js'
import { measureSimilarity, type Similarity } from '../select/measure/similarity.js'
import { weightBytes } from '../select/measure/target.js'
import { STANDARD, writeText } from './outputs.js'

/** `--report`: the page of a search, and with `--compare` of the other methods beside it. */
export interface ReportPage {
  /** Measures what only the page shows, and writes it. Meant for `onResult`, where all weights are loaded. */
  write(chosen: Selection): Promise<void>
  /** Runs the other methods at the bytes of the chosen plan, and writes the page again. */
  compare(chosen: Selection): Promise<void>
}

interface ReportOptions {
  report?: string
  model: string
  out: string
  method: Method
  compare?: true
}

export function reportPage(
  encoder: Encoder,
  calibration: CalibrationInput,
  search: SelectOptions,
  { report, model, out, method, compare }: ReportOptions,
): ReportPage | undefined {
  if (report === undefined) return undefined
  const { architecture, precision } = encoder
  let similarity: Similarity | undefined
  const write = async (selections: readonly Selection[]): Promise<void> => {
    const context = { architecture, precision, model, plan: out, similarity }
    await writeText(report, await renderReport(selections, context))
  }
  return {
    async write(chosen) {
      similarity = await measureSimilarity(encoder, calibration, {
        maxTokens: search.maxTokens,
        signal: search.signal,
      })
      if (report !== STANDARD || !compare) await write([chosen]) // what went to stdout cannot be written again
    },
    async compare(chosen) {
      const selections = [chosen]
      const target = { bytes: weightBytes(chosen.plan, architecture, precision) }
      for (const other of METHODS) {
        if (other !== method) {
          selections.push(await selectPlan(encoder, calibration, { ...search, target, method: other }))
        }
      }
      await write(selections)
    },
  }
}
