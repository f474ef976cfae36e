import { Option, type Command } from 'commander'
import { exportCheckpoint } from '../export/checkpoint.js'
import { InputError } from '../errors.js'
import { openCheckpoint } from '../checkpoint/open.js'
import { resolvePlan } from '../encoder.js'
import { exportPacked } from '../export/packed.js'
import { PRECISIONS, type Precision } from '../model/precision.js'
import { action, modelCommand, printJson, type Run } from './command.js'
import { STANDARD } from './outputs.js'
import { ByteBar, fields, formatBytes, formatPercent } from './terminal.js'

interface Options {
  model: string
  textEncoder?: string
  plan?: string
  out: string
  materialize?: true
  precision?: Precision
  json?: true
}

/** The line that a materialised export of a compensated plan adds. */
const COMPENSATION_STAYS: [string, string] = [
  'compensation',
  'in skrr-plan.json: applied here; other software gives the embeddings without it',
]

export function exportCommand(): Command {
  return modelCommand('export', 'Write a checkpoint with only the weights a plan uses')
    .requiredOption('--out <folder>', 'folder to make; it must not hold anything yet')
    .option(
      '--materialize',
      'an ordinary Hugging Face T5 that gives the same embeddings in any software, a compensation apart',
    )
    .addOption(
      new Option(
        '--precision <name>',
        'weights as they will be held in memory: int8 and int4 are mapped and used in place, here only',
      )
        .choices(PRECISIONS)
        .conflicts('materialize'),
    )
    .addHelpText(
      'after',
      `
Examples:
  $ skrr export --model t5-xxl/ --plan pixart-sigma-41.9 --out t5-xxl-41.9/
  $ skrr export --model t5-xxl/ --plan pixart-sigma-41.9 --precision int8 --out t5-xxl-41.9-int8/
  $ skrr export --model t5-xxl/ --plan plan.json --materialize --out t5-xxl-for-transformers/`,
    )
    .action(action(exportModel))
}

async function exportModel(options: Options, { signal }: Run): Promise<void> {
  if (options.out === STANDARD) {
    throw new InputError({
      field: '--out',
      found: '-',
      expected: 'a folder: a checkpoint is more than one file',
    })
  }
  const checkpoint = await openCheckpoint(options.model, { textEncoder: options.textEncoder })
  const plan = await resolvePlan(options.plan, checkpoint)
  const bar = new ByteBar('writing')
  const { precision, out, materialize = false } = options
  const common = { signal, onProgress: bar.update }
  const written =
    precision === undefined
      ? exportCheckpoint(checkpoint, plan, out, { materialize, ...common })
      : exportPacked(checkpoint, plan, out, { precision, ...common })
  const bytes = await written.finally(() => bar.stop())
  const sparsity = plan.sparsity(checkpoint.architecture)
  if (options.json) {
    printJson({ out, bytes, sparsity, materialized: materialize, precision })
    return
  }
  process.stdout.write(
    `${fields([
      [
        'written',
        `${out}, ${formatBytes(bytes)} of weights${precision === undefined ? '' : ` in ${precision}`}`,
      ],
      ['sparsity', formatPercent(sparsity)],
      ...(materialize && plan.compensation ? [COMPENSATION_STAYS] : []),
    ])}\n`,
  )
}
