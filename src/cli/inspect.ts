import type { Command } from 'commander'
import pc from 'picocolors'
import { openCheckpoint } from '../checkpoint/open.js'
import type { PackedSubBlock } from '../checkpoint/packed.js'
import { storedTensors, type Checkpoint } from '../checkpoint/types.js'
import { resolvePlan } from '../encoder.js'
import { type Architecture, attentionOf, feedForwardOf, isAttention } from '../model/architecture.js'
import { blocksOf, denseParameters } from '../model/parameters.js'
import { estimateMemory, type MemoryUse } from '../native/estimate.js'
import { ownPrecision, precisionsInWords } from '../native/precision.js'
import { compensationParameters } from '../plan/compensation.js'
import { fingerprint } from '../model/fingerprint.js'
import { resolveOutputs } from '../model/outputs.js'
import type { Plan } from '../plan/plan.js'
import { strip } from '../plan/strip.js'
import type { Precision } from '../model/precision.js'
import { action, modelCommand, precisionOption, printJson } from './command.js'
import { outputsFrom, parseStates, type StateOptions } from './states.js'
import { fields, formatBytes, formatCount, formatPercent } from './terminal.js'

interface Options extends StateOptions {
  model: string
  textEncoder?: string
  plan?: string
  precision?: Precision
  json?: true
}

/** Bytes of the checkpoint a plan reads, by kind. */
interface CheckpointBytes {
  attention: number
  feedForward: number
  embedding: number
  /** Final norm and a shared distance table. */
  other: number
}

export function inspectCommand(): Command {
  return modelCommand('inspect', 'Show a model and what a plan makes of it, without loading weights')
    .addOption(precisionOption())
    .option(
      '--states <names>',
      'states that are wanted, as of encode: blocks after them are left out',
      parseStates,
    )
    .option('--pooled', 'pooled rows are wanted')
    .addHelpText(
      'after',
      `
Examples:
  $ skrr inspect --model t5xxl_fp16.safetensors
  $ skrr inspect --model t5-xxl/ --plan pixart-sigma-41.9 --precision int8 --json`,
    )
    .action(action(inspect))
}

async function inspect(options: Options): Promise<void> {
  const checkpoint = await openCheckpoint(options.model, { textEncoder: options.textEncoder })
  const { depth, pooled } = resolveOutputs(outputsFrom(options) ?? {}, checkpoint.architecture)
  const whole = await resolvePlan(options.plan, checkpoint)
  const plan = whole.upTo(depth)
  const bytes = bytesByKind(checkpoint, plan)
  const precision = ownPrecision(checkpoint, options.precision)
  const memory = {
    precision: precisionsInWords(plan, checkpoint, precision),
    ...(await estimateMemory(checkpoint, plan, { precision, projected: pooled?.project })),
  }
  if (options.json) printJson({ ...summary(checkpoint, plan, bytes, memory), depth })
  else
    process.stdout.write(
      `${page(checkpoint, plan, bytes, memory, truncation(whole, plan, depth, checkpoint))}\n`,
    )
}

function bytesByKind(checkpoint: Checkpoint, plan: Plan): CheckpointBytes {
  const sources = plan.sources()
  const bytes = { attention: 0, feedForward: 0, embedding: 0, other: 0 }
  for (const { role, subBlock, shared, ref } of storedTensors(checkpoint)) {
    if (role === 'embedding') bytes.embedding += ref.bytes
    else if (subBlock === undefined || shared) bytes.other += ref.bytes
    else if (sources.includes(subBlock)) bytes[kindOf(subBlock)] += ref.bytes
  }
  for (const source of sources) bytes[kindOf(source)] += packedBytes(checkpoint.packed.get(source))
  return bytes
}

const kindOf = (subBlock: number): 'attention' | 'feedForward' =>
  isAttention(subBlock) ? 'attention' : 'feedForward'

interface Memory extends MemoryUse {
  /** What runs, in words. */
  precision: string
}

const packedBytes = (subBlock: PackedSubBlock | undefined): number =>
  Object.values(subBlock?.tensors ?? {}).reduce((sum, { bytes }) => sum + bytes, 0)

/** Element types of the file, and the precisions of what is packed. */
const formatsOf = (checkpoint: Checkpoint): string[] => [
  ...new Set(storedTensors(checkpoint).map(({ ref }) => ref.encoding)),
  ...new Set([...checkpoint.packed.values()].map(({ precision }) => precision)),
]

const sum = ({ attention, feedForward, embedding, other }: CheckpointBytes): number =>
  attention + feedForward + embedding + other

function summary(checkpoint: Checkpoint, plan: Plan, bytes: CheckpointBytes, memory: Memory): object {
  const { architecture } = checkpoint
  return {
    model: checkpoint.path,
    fingerprint: fingerprint(architecture),
    architecture,
    dtypes: formatsOf(checkpoint),
    tokenizer: checkpoint.tokenizerPath ?? null,
    parameters: { dense: denseParameters(architecture), planned: plan.parameters(architecture) },
    sparsity: plan.sparsity(architecture),
    compensation: compensationOf(plan, architecture),
    bytes: { ...bytes, total: sum(bytes) },
    memory,
    plan: plan.toJSON(),
  }
}

/** Where sub-blocks of a kind differ, it describes the first. */
function describe(a: Architecture): string {
  const [attention, feedForward] = [attentionOf(a), feedForwardOf(a)]
  const heads = `${attention?.heads} heads x ${attention?.headDim}`
  const form = feedForward?.gated ? `gated ${feedForward.activation}` : feedForward?.activation
  const blocks = blocksOf(a)
  return `${a.family}: ${blocks} ${blocks === 1 ? 'block' : 'blocks'}, width ${a.width}, ${heads}, ff ${feedForward?.inner} ${form}`
}

/** What a compensation adds; it is held as float32. */
function compensationOf({ compensation }: Plan, architecture: Architecture) {
  if (compensation === undefined) return undefined
  const parameters = compensationParameters(compensation)
  const share = parameters / denseParameters(architecture)
  return { rank: compensation.rank, parameters, share, bytes: 4 * parameters }
}

function compensationField(plan: Plan, architecture: Architecture): [string, string][] {
  const added = compensationOf(plan, architecture)
  if (added === undefined) return []
  const { rank, parameters, share, bytes } = added
  const size = `${formatCount(parameters)} parameters (${formatPercent(share)} of the dense encoder's)`
  return [['compensation', `rank ${rank} adds ${size}, ${formatBytes(bytes)}`]]
}

/** What the states leave out, which changes nothing in them. */
function truncation(
  whole: Plan,
  plan: Plan,
  depth: number,
  { architecture }: Checkpoint,
): [string, string][] {
  const blocks = blocksOf(architecture)
  if (depth >= blocks) return []
  const saved = 1 - plan.parameters(architecture) / whole.parameters(architecture)
  return [
    [
      'truncation',
      `exact: ${depth} of ${blocks} blocks run, ${formatPercent(saved)} of the parameters are not loaded`,
    ],
  ]
}

function page(
  checkpoint: Checkpoint,
  plan: Plan,
  bytes: CheckpointBytes,
  memory: Memory,
  truncated: [string, string][],
): string {
  const { architecture: g } = checkpoint
  const lines = fields([
    ['model', `${checkpoint.path} (${formatsOf(checkpoint).join(', ')})`],
    ['architecture', describe(g)],
    ['vocabulary', g.input.vocab === 0 ? 'none: takes inputs_embeds only' : formatCount(g.input.vocab)],
    ['tokenizer', checkpoint.tokenizerPath ?? 'none found beside the weights'],
    ['parameters', `${formatCount(plan.parameters(g))} of ${formatCount(denseParameters(g))}`],
    ['sparsity', formatPercent(plan.sparsity(g))],
    ...truncated,
    ...compensationField(plan, g),
    [
      'on disk',
      `${formatBytes(sum(bytes))}: attention ${formatBytes(bytes.attention)}, feed-forward ${formatBytes(bytes.feedForward)}, ` +
        `embedding ${formatBytes(bytes.embedding)}, other ${formatBytes(bytes.other)}`,
    ],
    [
      'in memory',
      `${formatBytes(memory.total)} as ${memory.precision}: weights ${formatBytes(memory.weights)}, ` +
        `embedding up to ${formatBytes(memory.embedding)} (stays in its file), workspace ${formatBytes(memory.workspace)}, ` +
        `tokenizer ${formatBytes(memory.tokenizer)}`,
    ],
  ])
  const width = process.stdout.columns as number | undefined
  return `${lines}\n\n${strip(plan, { color: pc.isColorSupported, ...(width !== undefined && { width }) })}`
}
