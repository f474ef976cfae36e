import type { Command } from 'commander'
import { exportCheckpoint } from '../checkpoint/export.js'
import { openCheckpoint } from '../checkpoint/open.js'
import { resolvePlan } from '../encoder.js'
import { action, modelCommand, printJson, type Run } from './command.js'
import { ByteBar, fields, formatBytes, formatPercent } from './terminal.js'

interface Options {
  model: string
  textEncoder?: string
  plan?: string
  out: string
  materialize?: true
  json?: true
}

export function exportCommand(): Command {
  return modelCommand('export', 'Write a checkpoint with only the weights a plan uses')
    .requiredOption('--out <folder>', 'folder to make; it must not hold anything yet')
    .option('--materialize', 'an ordinary Hugging Face T5 that gives the same embeddings in any software')
    .addHelpText(
      'after',
      `
Examples:
  $ skrr export --model t5-xxl/ --plan pixart-sigma-41.9 --out t5-xxl-41.9/
  $ skrr export --model t5-xxl/ --plan plan.json --materialize --out t5-xxl-for-transformers/`,
    )
    .action(action(exportModel))
}

async function exportModel(options: Options, { signal }: Run): Promise<void> {
  const checkpoint = await openCheckpoint(options.model, options)
  const plan = await resolvePlan(options.plan, checkpoint)
  const bar = new ByteBar('writing')
  const bytes = await exportCheckpoint(checkpoint, plan.table, plan.scales, options.out, {
    materialize: options.materialize ?? false,
    planJson: plan.stringify(),
    signal,
    onProgress: bar.update,
  }).finally(() => bar.stop())
  const sparsity = plan.sparsity(checkpoint.geometry)
  if (options.json) {
    printJson({ out: options.out, bytes, sparsity, materialized: options.materialize ?? false })
    return
  }
  process.stdout.write(
    `${fields([
      ['written', `${options.out}, ${formatBytes(bytes)} of weights`],
      ['sparsity', formatPercent(sparsity)],
    ])}\n`,
  )
}
