import { Option, type Command } from 'commander'
import { safetensorsChunks, writeSafetensors } from '../export/write.js'
import { Encoder, type Encoded } from '../encoder.js'
import type { DeviceName } from '../native/addon.js'
import { precisionsInWords } from '../native/precision.js'
import { pipelines, type PipelineName } from '../pipelines/index.js'
import type { Precision } from '../model/precision.js'
import {
  action,
  deviceName,
  modelCommand,
  precisionOption,
  printJson,
  wholeNumber,
  type Run,
} from './command.js'
import { inputsOf, readInput, type InputOptions } from './inputs.js'
import { checkOutputs, messagesTo, refuseTerminal, STANDARD, writeToStdout } from './outputs.js'
import { outputsFrom, parseStates, resultTensors, STATES_HELP, type StateOptions } from './states.js'
import { ByteBar, fields, formatBytes, formatPercent } from './terminal.js'

interface Options extends InputOptions, StateOptions {
  model: string
  textEncoder?: string
  plan?: string
  device?: 'auto' | DeviceName
  precision?: Precision
  threads?: number
  mapped: boolean
  tokenizer?: string
  pipeline?: PipelineName
  maxTokens?: number
  masked?: 'compute' | 'zero'
  out: string
  json?: true
}

export function encodeCommand(): Command {
  return modelCommand('encode', 'Turn prompts into embeddings')
    .option('--prompt <text...>', 'prompts, each an argument')
    .option('--prompts <file>', 'prompts, one a line (- is stdin)')
    .option(
      '--input-ids <file>',
      'safetensors with input_ids I32 [batch, tokens], optionally attention_mask, position_ids',
    )
    .option('--inputs-embeds <file>', 'safetensors with inputs_embeds [batch, tokens, width]')
    .requiredOption(
      '--out <file>',
      'safetensors to write: last_hidden_state F32, attention_mask I32 (- is stdout)',
    )
    .option('--states <names>', STATES_HELP, parseStates)
    .option(
      '--pooled',
      "also write one row of each prompt as pooled, through the model's projection if it has one",
    )
    .option('--device <name>', 'where to run: auto, cpu, cuda or cuda:N', deviceName, 'auto')
    .addOption(precisionOption())
    .addOption(
      new Option(
        '--pipeline <name>',
        'mask and length as this pipeline has them, also of --input-ids',
      ).choices(Object.keys(pipelines)),
    )
    .option('--max-tokens <n>', 'truncate prompts to n tokens; more ids are an error', wholeNumber(1))
    .option('--tokenizer <path>', 'tokenizer.json, spiece.model, tokenizer.model or their folder')
    .addOption(
      new Option(
        '--masked <how>',
        'rows of masked tokens of --input-ids and --inputs-embeds: as Hugging Face (compute, the default), or zero',
      ).choices(['compute', 'zero']),
    )
    .option('--threads <n>', 'CPU threads; default: all', wholeNumber(1))
    .option(
      '--no-mapped',
      'read packed int8 and int4 weights into memory, so that their file may change meanwhile',
    )
    .addHelpText(
      'after',
      `
Examples:
  $ skrr encode --model t5-xxl/ --prompt "a cat made of glass" --pipeline flux --out cat.safetensors
  $ skrr encode --model t5xxl_fp16.safetensors --plan pixart-sigma-41.9 --prompts prompts.txt --out all.safetensors
  $ skrr encode --model flux/ --text-encoder text_encoder_2 --input-ids ids.safetensors --out out.safetensors --json`,
    )
    .action(action(encode))
}

async function encode(options: Options, { signal }: Run): Promise<void> {
  refuseTerminal('--out', options.out)
  await checkOutputs(options, { '--out': options.out }, inputsOf(options))
  const input = await readInput(options, signal)
  const started = performance.now()
  const bar = new ByteBar('loading')
  const encoder = await Encoder.load(options.model, {
    plan: options.plan,
    device: options.device,
    precision: options.precision,
    threads: options.threads,
    mapped: options.mapped,
    tokenizer: options.tokenizer,
    textEncoder: options.textEncoder,
    outputs: outputsFrom(options),
    signal,
    onProgress: ({ doneBytes, totalBytes }) => bar.update(doneBytes, totalBytes),
  }).finally(() => bar.stop())
  try {
    const loaded = performance.now()
    const { pipeline, maxTokens, masked } = options
    const result = await encoder.encode(input, { pipeline, maxTokens, masked, signal })
    const encoded = performance.now()
    await write(options, result, signal)
    report(options, encoder, result, { load: loaded - started, encode: encoded - loaded })
  } finally {
    await encoder.dispose()
  }
}

async function write(options: Options, result: Encoded, signal: AbortSignal): Promise<void> {
  const tensors = resultTensors(options, result)
  if (options.out === STANDARD) await writeToStdout(safetensorsChunks('stdout', tensors), signal)
  else await writeSafetensors(options.out, tensors, { signal })
}

function report(
  options: Options,
  encoder: Encoder,
  { shape, truncated }: Encoded,
  ms: { load: number; encode: number },
): void {
  const cut = truncated.flatMap((isCut, index) => (isCut ? [index] : []))
  const sparsity = encoder.plan.sparsity(encoder.architecture)
  const precision = precisionsInWords(encoder.plan, encoder.checkpoint, encoder.precision)
  if (options.json) {
    printJson({
      out: options.out,
      shape,
      truncated: cut,
      device: encoder.device,
      precision,
      sparsity,
      memory: encoder.memory,
      ms,
    })
    return
  }
  const { weights, workspace, tokenizer } = encoder.memory
  const lines: [string, string][] = [
    [
      'embeddings',
      `[${shape.join(', ')}] float32 ${options.out === STANDARD ? 'on stdout' : `in ${options.out}`}`,
    ],
    [
      'memory',
      `${formatBytes(weights)} weights, ${formatBytes(workspace)} workspace, ${formatBytes(tokenizer)} tokenizer (${precision}, ${encoder.device})`,
    ],
    ['sparsity', formatPercent(sparsity)],
    ['time', `${ms.load.toFixed(0)} ms loading, ${ms.encode.toFixed(0)} ms encoding`],
  ]
  if (cut.length > 0) lines.push(['truncated', `prompts ${cut.map((index) => index + 1).join(', ')}`])
  messagesTo(options.out).write(`${fields(lines)}\n`)
}
