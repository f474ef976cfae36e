import { z } from 'zod'
import pc from 'picocolors'
import { isAttention } from '../model/architecture.js'
import { PRECISIONS } from '../model/precision.js'
import { checkArgument, flag, whole } from '../io/arguments.js'
import { checkIsPlan, type Plan } from './plan.js'

export interface StripOptions {
  readonly color: boolean
  /** Columns of the terminal; 80 where absent. */
  readonly width?: number | undefined
}

const schema = z.strictObject({ color: flag, width: whole(0).optional() }, { error: 'an object' })

type Paint = ReturnType<typeof pc.createColors>

const LABEL = 6 // 'block ', 'attn  ', 'ffn   '

/**
 * A plan as a strip for the terminal: a column for each block, a row each for attention and feed-forward. It is legible without
 * colour and puts as many blocks on a line as fit; 24 blocks fit 80 columns. Lines below it list re-used weights, residual
 * scales, the plan's own precisions, and what the signs mean. There is no newline at the end.
 */
export function strip(plan: Plan, options: StripOptions): string {
  checkIsPlan(plan)
  const { color, width = 80 } = checkArgument(schema, options, 'options')
  const paint = pc.createColors(color)
  const fill = Math.max(2, String(plan.table.length - 1).length) // a cell holds the largest source
  const perLine = Math.max(1, Math.floor((width - LABEL + 1) / (fill + 1)))
  const blocks = plan.table.length / 2
  const bands: string[] = []
  for (let from = 0; from < blocks; from += perLine) {
    bands.push(band(plan, from, Math.min(blocks, from + perLine), fill, paint))
  }
  return [bands.join('\n\n'), '', ...exceptions(plan, width, paint), legend(plan, paint)].join('\n')
}

function band(plan: Plan, from: number, to: number, fill: number, paint: Paint): string {
  const columns = range(from, to)
  const row = (label: string, half: number) =>
    label.padEnd(LABEL) + columns.map((block) => cell(plan, 2 * block + half, fill, paint)).join(' ')
  const ruler = columns.map((block) => String(block).padStart(fill)).join(' ')
  return [paint.dim('block '.padEnd(LABEL) + ruler), row('attn', 0), row('ffn', 1)].join('\n')
}

function cell(plan: Plan, p: number, fill: number, paint: Paint): string {
  const source = plan.table[p]
  if (source === null) return paint.dim('·'.padStart(fill))
  if (source !== p) return paint.yellow(paint.bold(String(source).padStart(fill)))
  const hue = isAttention(p) ? paint.cyan : paint.blue
  return hue((plan.scales[p] === 1 ? '█' : '▒').repeat(fill))
}

/** `5←7 ×0.5`: position 5 runs with 7's weights at half strength; `8 ×0.9`: 8 runs with its own weights, scaled. */
function exceptions(plan: Plan, width: number, paint: Paint): string[] {
  const scale = (p: number) => (plan.scales[p] === 1 ? '' : ` ×${short(plan.scales[p]!)}`)
  const reused = Object.entries(plan.reused()).map(([p, source]) => `${p}←${source}${scale(Number(p))}`)
  const own = range(0, plan.table.length).filter((p) => plan.table[p] === p && plan.scales[p] !== 1)
  return [
    ...wrapped('re-use', reused, width, paint.yellow),
    ...wrapped(
      'scale',
      own.map((p) => `${p}${scale(p)}`),
      width,
      paint.cyan,
    ),
    ...PRECISIONS.flatMap((precision) => {
      const held = plan.sources().filter((source) => plan.precisions[source] === precision)
      return wrapped(precision, held.map(String), width, paint.dim)
    }),
  ]
}

/** A label and items in columns, broken at the width and indented below the label. */
function wrapped(label: string, items: string[], width: number, hue: (text: string) => string): string[] {
  if (items.length === 0) return []
  const column = Math.max(...items.map((item) => item.length)) + 2
  const indent = 8
  const perLine = Math.max(1, Math.floor((width - indent + 2) / column))
  const lines: string[] = []
  for (let i = 0; i < items.length; i += perLine) {
    const text = items
      .slice(i, i + perLine)
      .map((item) => item.padEnd(column))
      .join('')
    lines.push((i === 0 ? label : '').padEnd(indent) + hue(text.trimEnd()))
  }
  return lines
}

function legend(plan: Plan, paint: Paint): string {
  const skipped = plan.skipped().length
  const reused = Object.keys(plan.reused()).length
  const scaled = plan.table.some((source, p) => source === p && plan.scales[p] !== 1)
  const kept = plan.table.length - skipped - reused
  const parts = [`${paint.cyan('█')}${paint.blue('█')} ${kept} run`]
  if (scaled) parts.push(`${paint.cyan('▒')}${paint.blue('▒')} run scaled`)
  if (reused > 0) parts.push(`${paint.bold(paint.yellow('n'))} ${reused} run with sub-block n's weights`)
  if (skipped > 0) parts.push(`${paint.dim('·')} ${skipped} skipped`)
  if (plan.compensation) parts.push(`+ rank-${plan.compensation.rank} compensation`)
  return parts.join('   ')
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)
const short = (scale: number): string => String(Number(scale.toPrecision(3)))
