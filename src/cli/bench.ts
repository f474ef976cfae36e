import { cpus, freemem } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'
import { T5_V11_DEMO, T5_XXL } from '../families/t5.js'
import { probeCuda } from '../native/probe.js'
import { pickDevice, requireDevice, type Device } from '../native/device.js'
import { estimateOn } from '../native/estimate.js'
import { InputError } from '../errors.js'
import { fingerprint } from '../model/fingerprint.js'
import { firstBlocks, subBlockCount, type Architecture } from '../model/architecture.js'
import { blocksOf } from '../model/parameters.js'
import { native, runJob, type DeviceName } from '../native/addon.js'
import type { Precision } from '../model/precision.js'
import { nativeArchitecture, nativePlan } from '../native/spec.js'
import { loadPlan } from '../plan/file.js'
import { Plan } from '../plan/plan.js'
import { action, deviceName, precisionOption, printJson, wholeNumber, type Run } from './command.js'
import { readReport, compare, comparisonPage, type EarlierReport } from './bench-compare.js'
import { machineNow, warningsOf } from './bench-machine.js'
import { page, rowsOf, summary, type Subject } from './bench-report.js'
import { formatBytes } from './terminal.js'

const ARCHITECTURES: Readonly<Record<string, Architecture>> = { 't5-xxl': T5_XXL, 't5-base': T5_V11_DEMO }
const PAPERS_PLAN = 'pixart-sigma-41.9'
const PAPERS_SHARE = 0.419
const MAX_TOKENS = 16_384
/** Buffers of the bench itself: read to measure the memory's rate, and copied to empty the caches. */
const BENCH_BYTES = 700e6

interface Options {
  architecture: string
  blocks?: number
  plan?: string
  tokens: number[]
  device: 'auto' | DeviceName
  precision?: Precision
  threads?: number
  repeats: number
  compare?: string
  threshold?: number
  json?: true
}

/** Share by which a row may take longer than before, unless --threshold says another. */
const THRESHOLD = 0.05

export function benchCommand(): Command {
  return new Command('bench')
    .description('Measure the engine on this machine: its parts and whole encoders, with random weights')
    .addOption(
      new Option('--architecture <name>', 'shape of the encoder')
        .choices(Object.keys(ARCHITECTURES))
        .default('t5-xxl'),
    )
    .option('--blocks <n>', 'only so many of its blocks; default: as many as fit into memory', wholeNumber(1))
    .option(
      '--plan <file|preset>',
      `measured beside dense; default: ${PAPERS_PLAN}, or a share like it of fewer blocks`,
    )
    .option('--tokens <n,...>', 'lengths of the one prompt', tokenCounts, [1, 77, 256, 512])
    .option('--device <name>', 'where to run: auto, cpu, cuda or cuda:N', deviceName, 'auto')
    .addOption(precisionOption('bf16'))
    .option('--threads <n>', 'CPU threads; default: all', wholeNumber(1))
    .option('--repeats <n>', 'timed runs of each', wholeNumber(1), 10)
    .option('--compare <file>', 'an earlier --json: print ratios; exit code 1 where a row takes longer')
    .option('--threshold <percent>', `how much longer is accepted; default: ${100 * THRESHOLD}%`, share)
    .option('--json', 'print one JSON object on stdout, errors too')
    .addHelpText(
      'after',
      `
Times are medians; between two runs caches are filled with something else. "roofline" is the least time the machine allows
for the bytes and operations, as a share of the time taken: on a CPU by a streaming read of memory, and by the multiplying
instruction on registers alone; on CUDA by a copy, and by the best product timed.

--compare judges rows of 0.1 ms and more. On a busy machine times differ by more than the threshold on their own: it is said
where the load was high before the start, and where the runs of a row differ.

Examples:
  $ skrr bench
  $ skrr bench --device cuda --tokens 77,512,4096 --json
  $ skrr bench --blocks 2 --precision int8 --tokens 77
  $ skrr bench --json > before.json
  $ skrr bench --compare before.json --threshold 3%`,
    )
    .action(action(bench))
}

function tokenCounts(text: string): number[] {
  const counts = text.split(',').map(Number)
  if (counts.every((n) => Number.isInteger(n) && n >= 1 && n <= MAX_TOKENS)) return counts
  throw new InvalidArgumentError(`Expected whole numbers of 1 to ${MAX_TOKENS}, joined by commas.`)
}

/** '5%' or '5' */
function share(text: string): number {
  const percent = /^(\d+(?:\.\d+)?) ?%?$/.exec(text)?.[1]
  if (percent !== undefined) return Number(percent) / 100
  throw new InvalidArgumentError('Expected a percentage, such as 5%.')
}

async function bench(options: Options, { signal }: Run): Promise<void> {
  const earlier = await earlierReport(options)
  const subject = await prepare(options)
  earlier?.checkSubject(subject, options.tokens)
  const { architecture, device, plans } = subject
  const machine = machineNow(device, options.threads)
  const { threads = 0 } = options
  const request = {
    tables: Object.entries(plans).map(([name, plan]) => ({ name, ...nativePlan(plan) })),
    tokens: Int32Array.from(options.tokens),
    repeats: options.repeats,
  }
  const measured = await runJob([signal], (cancel) =>
    native().bench(
      nativeArchitecture(architecture),
      { device: device.name, threads },
      request,
      cancel,
      showProgress,
    ),
  ).finally(clearProgress)
  const comparison = earlier && compare(earlier, rowsOf(measured), subject, options.threshold ?? THRESHOLD)
  const warnings = [...warningsOf(machine, measured.rows), ...(earlier?.differences(machine) ?? [])]
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`)
  if (options.json) printJson({ ...summary(subject, machine, measured), warnings, comparison })
  else {
    process.stdout.write(`${page(subject, machine, measured)}\n`)
    if (comparison !== undefined) process.stdout.write(`\n${comparisonPage(comparison)}\n`)
  }
  if (comparison !== undefined && comparison.slower > 0) process.exitCode = 1
}

/** @throws InputError before anything is measured */
async function earlierReport({ compare, threshold }: Options): Promise<EarlierReport | undefined> {
  if (compare !== undefined) return await readReport(compare)
  if (threshold === undefined) return undefined
  throw new InputError({ field: '--threshold', found: 'no --compare', expected: 'both' })
}

async function prepare(asked: Options): Promise<Subject> {
  const { precision = 'bf16' } = asked
  const { device } = await pickDevice(asked.device, { precision })
  requireDevice(device, { precision })
  const name = device.kind === 'cpu' ? (cpus()[0]?.model ?? 'CPU') : await probeCuda(device.name)
  const whole = ARCHITECTURES[asked.architecture]!
  const architecture = firstBlocks(whole, await fittingBlocks(whole, asked, device, precision))
  const plan = await secondPlan(asked.plan, architecture, fingerprint(architecture) === fingerprint(T5_XXL))
  const plans = { dense: Plan.dense(blocksOf(architecture)), ...plan }
  for (const each of Object.values(plans)) requireDevice(device, { plan: each })
  const named = Object.entries(plans).map(([label, each]) => [label, held(each, precision)] as const)
  return { architecture, device, precision, deviceName: name, plans: Object.fromEntries(named) }
}

/** On the CPU the blocks asked for, or as many as fit into half of the free memory. A CUDA device itself reports a lack of memory. */
async function fittingBlocks(
  whole: Architecture,
  asked: Options,
  device: Device,
  precision: Precision,
): Promise<number> {
  const there = blocksOf(whole)
  const { blocks = there, tokens } = asked
  if (blocks > there) {
    const expected = `at most the ${there} of ${asked.architecture}`
    throw new InputError({ field: '--blocks', found: String(blocks), expected })
  }
  if (device.kind !== 'cpu') return blocks
  const longest = Math.max(...tokens)
  const needed = async (count: number): Promise<number> => {
    const dense = held(Plan.dense(count), precision)
    const batch = { tokens: longest, longest }
    const bytes = await estimateOn(device, firstBlocks(whole, count), dense, batch, asked.threads)
    return bytes.weights + bytes.workspace + BENCH_BYTES
  }
  const free = freemem()
  if (asked.blocks === undefined) {
    for (let count = blocks; count > 1; count--) if ((await needed(count)) < free / 2) return count
    return 1
  }
  const bytes = await needed(blocks)
  if (bytes < free) return blocks
  throw new InputError({
    field: '--blocks',
    found: `${blocks}, which take ${formatBytes(bytes)}`,
    expected: `fewer: ${formatBytes(free)} of memory are free`,
  })
}

/** The plan with every precision named. The weights are random, so no checkpoint stores them in another precision. */
const held = (plan: Plan, own: Precision): Plan =>
  plan.with({ precisions: plan.precisions.map((named) => named ?? own) })

async function secondPlan(
  asked: string | undefined,
  architecture: Architecture,
  isPapersModel: boolean,
): Promise<Record<string, Plan>> {
  if (asked !== undefined) {
    const plan = await loadPlan(asked, architecture)
    plan.validate(architecture)
    return { [asked]: plan }
  }
  if (isPapersModel) return { [PAPERS_PLAN]: await loadPlan(PAPERS_PLAN, architecture) }
  const turns = (s: number): number => Math.floor(s * PAPERS_SHARE)
  const last = subBlockCount(architecture) - 1
  const even = [...Array(last).keys()].filter((s) => turns(s + 1) > turns(s))
  const skipped = even.length > 0 ? even : [last]
  return {
    [`${skipped.length} of ${subBlockCount(architecture)} skipped`]: Plan.skip(
      blocksOf(architecture),
      skipped,
    ),
  }
}

function showProgress(done: number, total: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${total} measured`)
}

function clearProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
}
