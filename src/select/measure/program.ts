import { createHash } from 'node:crypto'
import type { Compensation } from '../../plan/compensation.js'
import type { Plan } from '../../plan/plan.js'

/**
 * What a resolved plan (native/precision.ts) executes, in order. A state depends on nothing else: neither on the positions where nothing runs nor on which
 * plan it was computed for. So two plans share the states of their programs' common beginning, whatever else they differ in.
 */
export interface Program {
  readonly steps: readonly Step[]
  /** The steps' names joined, and a hash of the compensation: equal programs have equal keys and so equal D. */
  readonly key: string
}

export interface Step {
  /** Where in the layer table it runs. */
  readonly position: number
  /** Source, precision and scale: `7:int4`, or `7:int4@0.5`. */
  readonly name: string
}

export function programOf(plan: Plan): Program {
  const steps: Step[] = []
  for (const [position, source] of plan.table.entries()) {
    const scale = plan.scales[position]!
    if (source === null || scale === 0) continue
    const weights = `${source}:${plan.precisions[source]}`
    steps.push({ position, name: `${weights}${scale === 1 ? '' : `@${scale}`}` })
  }
  const names = steps.map(({ name }) => name)
  if (plan.compensation) names.push(`+${hashOf(plan.compensation)}`)
  return { steps, key: names.join(' ') }
}

const hashOf = ({ rank, down, up }: Compensation): string =>
  createHash('sha256').update(`${rank} `).update(down).update(up).digest('hex').slice(0, 16)
