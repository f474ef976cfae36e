import { PRECISIONS, type Precision } from '../model/precision.js'
import type { Compensation } from './compensation.js'

/** What of a plan can be said in a line. */
interface Said {
  readonly table: readonly (number | null)[]
  readonly scales: readonly number[]
  readonly precisions: readonly (Precision | null)[]
  readonly compensation: Compensation | undefined
  skipped(): readonly number[]
  reused(): Readonly<Record<number, number>>
}

/** A plan in a line: `24 blocks, 5 re-used, 9 skipped, int8 weights, rank-16 compensation`. */
export function planInWords(plan: Said): string {
  const reused = Object.keys(plan.reused()).length
  const skipped = plan.skipped().length
  const named = PRECISIONS.filter((precision) => plan.precisions.includes(precision))
  const changes = [
    ...(reused > 0 ? [`${reused} re-used`] : []),
    ...(skipped > 0 ? [`${skipped} skipped`] : []),
    ...(plan.scales.some((scale) => scale !== 1) ? ['scaled'] : []),
    ...(named.length > 0 ? [`${named.join(' and ')} weights`] : []),
    ...(plan.compensation ? [`rank-${plan.compensation.rank} compensation`] : []),
  ]
  return [`${plan.table.length / 2} blocks`, ...(changes.length > 0 ? changes : ['dense'])].join(', ')
}
