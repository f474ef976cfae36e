import { Command, InvalidArgumentError, Option } from 'commander'
import pc from 'picocolors'
import { Encoder } from '../encoder.js'
import { InputError } from '../errors.js'
import { shellWord } from '../io/show.js'
import type { Precision } from '../model/precision.js'
import { strip } from '../plan/strip.js'
import type { CalibrationInput } from '../select/measure/calibration.js'
import { selectPlan, type Selection, type SelectProgress } from '../select/index.js'
import type { Metric } from '../select/measure/evaluator.js'
import { METHODS, type Method } from '../select/methods/method.js'
import { nullNormIsOff } from '../select/measure/null-norm.js'
import type { ReuseOrder } from '../select/moves/reuse.js'
import { weightBytes, type Target } from '../select/measure/target.js'
import { action, precisionOption, printJson, wholeNumber, type Run } from './command.js'
import { inputsOf, readEmbeds, readIds, readInput, type InputOptions } from './inputs.js'
import { checkOutputs, messagesTo, STANDARD, writeText } from './outputs.js'
import { reportPage } from './select-report.js'
import { SelectBar } from './select-bar.js'
import { fields, formatBytes, formatCount, formatPercent } from './terminal.js'

interface Options extends Omit<InputOptions, 'prompt'> {
  model: string
  textEncoder?: string
  tokenizer?: string
  null?: string
  projection?: string
  method: Method
  beams?: number
  dedup?: true
  duplicates?: true
  reuse?: boolean
  reuseOrder: ReuseOrder
  joint: boolean
  compensate?: number
  metric: Metric
  precision?: Precision
  threads?: number
  mapped: boolean
  maxTokens?: number
  cacheBytes?: number
  sparsity?: number
  bytes?: number
  skipCount?: number
  out: string
  trace?: string
  report?: string
  compare?: true
  resume?: true
  json?: true
}

export function selectCommand(): Command {
  return new Command('select')
    .description('Choose a plan: which sub-blocks to skip and re-use, by their effect on calibration prompts')
    .requiredOption('--model <path>', 'Hugging Face or diffusers folder, or a single .safetensors file')
    .option('--text-encoder <folder>', 'which encoder of a diffusers folder, such as text_encoder_2')
    .option('--tokenizer <path>', 'tokenizer.json, spiece.model, tokenizer.model or their folder')
    .option('--prompts <file>', 'calibration prompts, one a line (- is stdin)')
    .option(
      '--input-ids <file>',
      'or safetensors with input_ids [prompts, tokens], optionally attention_mask',
    )
    .option('--inputs-embeds <file>', 'or safetensors with inputs_embeds [prompts, tokens, width]')
    .option('--null <file>', 'safetensors with the null condition, named as above; default: the empty prompt')
    .option('--projection <file>', "safetensors with the denoiser's module that takes the embedding")
    .option('--sparsity <share>', 'target: at least this share of the parameters removed', share)
    .option('--bytes <n>', 'target: at most n bytes of weights, token embedding included', wholeNumber(1))
    .option('--skip-count <n>', 'target: n sub-blocks removed', wholeNumber(1))
    .addOption(
      new Option('--method <name>', 'how the plan is searched; paper is Skrr as published')
        .choices(METHODS)
        .default('skrr'),
    )
    .option('--beams <k>', 'beams of the search (default: 3)', wholeNumber(1))
    .option('--dedup', 'beams are different sets (default, but not for paper)')
    .option('--duplicates', 'beams may be permutations of one set (default for paper)')
    .option('--reuse', 'Algorithm 2 after the skips (default for paper; skrr has its own)')
    .option('--no-reuse', 'skip only')
    .addOption(
      new Option('--reuse-order <order>', 'order of Algorithm 2')
        .choices(['pruned', 'ascending'])
        .default('pruned'),
    )
    .option('--no-joint', "leave out skrr's second start, which chooses skips and re-use together: less work")
    .option(
      '--compensate <rank>',
      'fit a low-rank map of the output to the plan, kept where it helps prompts left out (default: 0, none)',
      wholeNumber(0),
    )
    .addOption(new Option('--metric <name>', 'discrepancy').choices(['mse', 'cosine']).default('mse'))
    .addOption(precisionOption())
    .option('--max-tokens <n>', 'longest prompt (default: 512)', wholeNumber(1))
    .option('--cache-bytes <n>', 'most bytes of cached states (default: 1 GiB)', wholeNumber(0))
    .option('--threads <n>', 'CPU threads; default: all', wholeNumber(1))
    .option(
      '--no-mapped',
      'read packed int8 and int4 weights into memory, so that their file may change meanwhile',
    )
    .requiredOption(
      '--out <file>',
      'plan to write; the search keeps its journal beside it (- is stdout, without one)',
    )
    .option(
      '--trace <file>',
      'write everything that was measured; every expansion in full, which is more work',
    )
    .option('--report <file>', 'write an HTML page of charts: D, bytes, work, similarity of sub-blocks')
    .option('--compare', 'with --report: run the other methods too, at the bytes of the plan')
    .option('--resume', 'go on with the journal of a search that did not end')
    .option('--json', 'print one JSON object on stdout, errors too')
    .addHelpText(
      'after',
      `
Examples:
  $ skrr select --model t5-xxl/ --prompts captions.txt --projection pixart.safetensors --sparsity 0.42 --out plan.json
  $ skrr select --model t5-xxl/ --prompts captions.txt --method paper --skip-count 21 --out paper.json --trace trace.json
  $ skrr encode --model t5-xxl/ --plan plan.json --prompt "a cat made of glass" --out cat.safetensors`,
    )
    .action(action(select))
}

async function select(options: Options, { signal }: Run): Promise<void> {
  const started = performance.now()
  const target = readTarget(options)
  checkCompare(options)
  checkResume(options)
  const { out, trace, report: page } = options
  await checkOutputs(
    options,
    { '--out': out, '--trace': trace, '--report': page, "--out's journal": journalOf(options) },
    { ...inputsOf(options), '--null': options.null, '--projection': options.projection },
  )
  const calibration = await readCalibration(options)
  const nullCondition = options.null === undefined ? undefined : await readNull(options.null)
  const bar = new SelectBar(lastPhase(options))
  const { textEncoder, tokenizer, precision, threads, mapped } = options
  const encoder = await Encoder.load(options.model, {
    textEncoder,
    tokenizer,
    precision,
    threads,
    mapped,
    signal,
  })
  const common = {
    target,
    beams: options.beams,
    metric: options.metric,
    projection: options.projection,
    null: nullCondition,
    maxTokens: options.maxTokens,
    cacheBytes: options.cacheBytes,
    signal,
    onProgress: bar.update,
  }
  try {
    const page = reportPage(encoder, calibration, common, options)
    const selection = await selectPlan(encoder, calibration, {
      ...common,
      method: options.method,
      dedup: readDedup(options),
      reuse: options.reuse,
      reuseOrder: options.reuseOrder,
      joint: options.joint,
      compensate: options.compensate,
      resume: options.resume,
      fullTrace: options.trace !== undefined,
      journal: journalOf(options),
      onResult: async (found) => {
        await writeText(options.out, found.plan.stringify())
        if (options.trace !== undefined) await writeText(options.trace, `${JSON.stringify(found.trace)}\n`)
        await page?.write(found)
      },
    })
    if (options.compare) await page?.compare(selection)
    bar.stop()
    report(options, encoder, selection, (performance.now() - started) / 1000)
  } catch (error) {
    throw withCommand(error, options)
  } finally {
    bar.stop()
    await encoder.dispose()
  }
}

/** With which the search ends; of --compare none is known. */
function lastPhase({ compensate = 0, method, reuse, compare }: Options): SelectProgress['phase'] {
  if (compare) return 'dense'
  if (compensate > 0) return 'compensate'
  if (method === 'skrr') return 'refine'
  return (reuse ?? method === 'paper') ? 'reuse' : 'skip'
}

/** Beside the plan, where that is a file. */
const journalOf = ({ out }: Options): string | undefined => (out === STANDARD ? undefined : `${out}.journal`)

/** What a user whose journal is of another version has to run. */
function withCommand(error: unknown, options: Options): unknown {
  const journal = journalOf(options)
  if (!(error instanceof InputError) || journal === undefined) return error
  if (error.detail.file !== journal || error.detail.field !== 'version') return error
  const words = process.argv.slice(2).filter((word) => word !== '--resume')
  const command = `rm ${shellWord(journal)} && skrr ${words.map(shellWord).join(' ')}`
  const anew = options.resume ? 'Start anew, without --resume' : 'Start anew'
  return new InputError({ ...error.detail, hint: `${anew}: ${command}` }, { cause: error })
}

function readTarget({ sparsity, bytes, skipCount }: Options): Target {
  const targets: Target[] = [
    ...(sparsity === undefined ? [] : [{ sparsity }]),
    ...(bytes === undefined ? [] : [{ bytes }]),
    ...(skipCount === undefined ? [] : [{ skipCount }]),
  ]
  if (targets.length === 1) return targets[0]!
  throw new InputError({
    field: 'target',
    found: targets.length === 0 ? 'none' : `${targets.length} of them`,
    expected: 'one of --sparsity, --bytes, --skip-count',
  })
}

function readDedup({ dedup, duplicates }: Options): boolean | undefined {
  if (!(dedup && duplicates)) return duplicates ? false : dedup
  throw new InputError({ field: 'beams', found: '--dedup and --duplicates', expected: 'one of them' })
}

function checkCompare({ compare, report }: Options): void {
  if (!compare || report !== undefined) return
  throw new InputError({
    field: '--compare',
    found: 'no --report',
    expected: 'one that shows the comparison',
  })
}

function checkResume({ out, resume }: Options): void {
  if (!resume || out !== STANDARD) return
  throw new InputError({ field: '--resume', found: '--out -', expected: 'a file with its journal beside it' })
}

async function readCalibration(options: Options): Promise<CalibrationInput> {
  const input = await readInput(options)
  return typeof input === 'string' ? [input] : input
}

/** Ids or embeddings, whichever the file has. */
async function readNull(file: string): Promise<CalibrationInput> {
  try {
    return await readIds(file)
  } catch (error) {
    if (!(error instanceof InputError) || error.detail.field !== 'input_ids') throw error
    return await readEmbeds(file)
  }
}

function report(options: Options, encoder: Encoder, selection: Selection, seconds: number): void {
  const { plan, D, relative, nullNorm, work } = selection
  const { architecture, precision } = encoder
  const sparsity = plan.sparsity(architecture)
  const bytes = weightBytes(plan, architecture, precision)
  if (options.json) {
    const { out, trace, report: page, method } = options
    const { compensation } = selection.trace
    printJson({
      ...{ out, trace, report: page, method, sparsity, bytes, D, relative, nullNorm, compensation, work },
      seconds,
    })
  } else {
    // a search that was resumed takes what it measured from its journal
    const ratio =
      work.executed === 0 ? '' : `, ${(work.naive / work.executed).toFixed(1)} times fewer than naive`
    messagesTo(options.out, options.trace, options.report).write(
      `${strip(plan, { color: pc.isColorSupported, width: process.stdout.columns })}\n\n${fields([
        ['plan', options.out === STANDARD ? 'on stdout' : options.out],
        ...(options.report === undefined ? [] : [['report', options.report] as const]),
        ['sparsity', formatPercent(sparsity)],
        ['weights', `${formatBytes(bytes)} in ${precision}, token embedding included`],
        [
          'D',
          `${D.total.toPrecision(4)}: calibration ${D.calibration.toPrecision(4)}, null ${D.null.toPrecision(4)}`,
        ],
        ...compensationField(selection),
        [
          'relative',
          `calibration ${formatPercent(relative.calibration)}, null ${formatPercent(relative.null)}`,
        ],
        ['work', `${formatCount(work.executed)} sub-block executions x tokens${ratio}`],
        ['time', `${seconds.toFixed(1)} s`],
      ])}\n`,
    )
  }
  if (!nullNormIsOff(nullNorm)) return
  process.stderr.write(
    `warning: the null condition's norm is ${nullNorm.toPrecision(3)} times the dense encoder's; guided images suffer from that\n`,
  )
}

function compensationField({ trace: { compensation } }: Selection): [string, string][] {
  if (compensation === undefined) return []
  const { rank, ridge, ridges, held_out } = compensation
  const [before, best] = [held_out.D, Math.min(...ridges.map(({ D }) => D))].map((D) => D.toPrecision(4))
  const found = ridge === null ? 'none, too little gained' : `rank ${rank}`
  return [['compensation', `${found}: D on prompts left out of the fit ${before}, with it ${best}`]]
}

function share(text: string): number {
  const value = Number(text)
  if (text.trim() !== '' && value > 0 && value < 1) return value
  throw new InvalidArgumentError('Expected a number between 0 and 1.')
}
