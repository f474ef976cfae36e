import pc from 'picocolors'
import { fields, formatBytes, formatCount, formatPercent, table } from '../cli/terminal.js'
import type { Encoded } from '../encoder.js'
import { type Architecture } from '../model/architecture.js'
import { blocksOf, denseParameters } from '../model/parameters.js'
import { strip } from '../plan/strip.js'
import { relativeDifference, type Measurement } from './measure.js'

/** What is shown before anything is loaded. */
export interface Setting {
  readonly model: string
  readonly synthetic: boolean
  readonly architecture: Architecture
  readonly precision: string
  readonly machine: string
}

export function heading({ model, synthetic, architecture: g, precision, machine }: Setting): string {
  const rows: [string, string][] = [
    [
      'model',
      `${model}: ${blocksOf(g)} blocks, width ${g.width}, ${formatCount(denseParameters(g))} parameters`,
    ],
    ['engine', `${machine}, weights in memory as ${precision}`],
  ]
  if (synthetic)
    rows.push(['weights', pc.yellow('synthetic: sizes and times are real, the embeddings mean nothing')])
  return `\n${pc.bold('skrr')} ${pc.dim('prompts to embeddings, dense and under a plan')}\n\n${fields(rows)}\n`
}

/** Each prompt, the first numbers of its first token's embedding, and how far the plan moved it. */
export function promptTable(prompts: readonly string[], dense: Encoded, planned: Encoded): string {
  const tokens = dense.shape[1]
  const rows = prompts.map((prompt, i) => {
    const count = dense.attentionMask
      .subarray(i * tokens, (i + 1) * tokens)
      .reduce((sum, bit) => sum + bit, 0)
    return [
      shortened(prompt, 34),
      String(count),
      firstNumbers(dense, i),
      firstNumbers(planned, i),
      relativeDifference(planned, dense, i, i + 1).toFixed(3),
    ]
  })
  return table([['prompt', 'tokens', 'embedding, dense', 'planned', 'difference'], ...rows])
}

function firstNumbers({ embeddings, shape }: Encoded, row: number): string {
  const first = row * shape[1] * shape[2]
  return [...embeddings.subarray(first, first + 2)].map((x) => x.toFixed(2).padStart(5)).join(' ') + ' …'
}

const shortened = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length - 1).trimEnd()}…`

export function costTable(architecture: Architecture, dense: Measurement, planned: Measurement): string {
  const column = (m: Measurement): string[] => [
    formatCount(m.plan.parameters(architecture)),
    formatPercent(m.plan.sparsity(architecture)),
    formatBytes(m.loadedBytes),
    formatBytes(m.memory.weights + m.memory.workspace),
    `${m.loadMs.toFixed(0)} ms`,
    `${m.encodeMs.toFixed(0)} ms`,
    m === dense ? '0' : relativeDifference(m.encoded, dense.encoded).toFixed(3),
  ]
  return table([
    ['plan', 'parameters', 'sparsity', 'read', 'memory', 'load', 'encode', 'difference'],
    ['dense', ...column(dense)],
    ['planned', ...column(planned)],
  ])
}

export function footnotes({ memory, runs }: Measurement): string {
  return pc.dim(
    [
      `read: weights from the checkpoint; the ${formatBytes(memory.embedding)} of token embedding stay in it`,
      'memory: the weights as the engine holds them, and its workspace',
      'load: from the page cache where that holds the file, else as fast as the disk',
      `encode: all prompts in one call, median of ${runs}`,
      'difference: relative L2 distance from the dense embeddings',
    ].join('\n'),
  )
}

export function planStrip({ plan }: Measurement, origin: string): string {
  const width = process.stdout.columns as number | undefined
  const drawn = strip(plan, { color: pc.isColorSupported, ...(width !== undefined && { width }) })
  return `${pc.bold('the plan')} ${pc.dim(origin)}\n\n${drawn}\n`
}
