import { cpus, freemem } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'
import pc from 'picocolors'
import { T5_V11_DEMO, T5_XXL } from '../families/t5.js'
import { probeCuda } from '../native/probe.js'
import { pickDevice, requireDevice, type Device } from '../native/device.js'
import { estimateOn } from '../native/estimate.js'
import { InputError } from '../errors.js'
import { fingerprint } from '../model/fingerprint.js'
import { feedForwardOf, firstBlocks, subBlockCount, type Architecture } from '../model/architecture.js'
import { blocksOf, fixedParameters } from '../model/parameters.js'
import { native, runJob, type DeviceName, type NativeBench, type NativeBenchRow } from '../native/addon.js'
import type { Precision } from '../model/precision.js'
import { nativePlan } from '../native/spec.js'
import { loadPlan } from '../plan/file.js'
import { Plan } from '../plan/plan.js'
import { strip } from '../plan/strip.js'
import { action, deviceName, precisionOption, printJson, wholeNumber, type Run } from './command.js'
import { fields, formatBytes, formatPercent, table } from './terminal.js'

const ARCHITECTURES: Readonly<Record<string, Architecture>> = { 't5-xxl': T5_XXL, 't5-base': T5_V11_DEMO }
const PAPERS_PLAN = 'pixart-sigma-41.9'
const PAPERS_SHARE = 0.419
const MAX_TOKENS = 16_384
/** Buffers of the bench itself: copied to measure the memory's rate, and to empty the caches. */
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
  json?: true
}

interface Subject {
  readonly architecture: Architecture
  readonly device: Device
  readonly precision: Precision
  readonly deviceName: string
  /** By name, every precision named; the first is dense. */
  readonly plans: Readonly<Record<string, Plan>>
}

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
    .addOption(precisionOption().default('bf16'))
    .option('--threads <n>', 'CPU threads; default: all', wholeNumber(1))
    .option('--repeats <n>', 'timed runs of each', wholeNumber(1), 10)
    .option('--json', 'print one JSON object on stdout, errors too')
    .addHelpText(
      'after',
      `
Times are medians; between two runs caches are filled with something else. "roofline" is the least time the machine's
measured copy rate and its best product allow for the bytes and operations, as a share of the time taken.

Examples:
  $ skrr bench
  $ skrr bench --device cuda --tokens 77,512,4096 --json
  $ skrr bench --blocks 2 --precision int8 --tokens 77`,
    )
    .action(action(bench))
}

function tokenCounts(text: string): number[] {
  const counts = text.split(',').map(Number)
  if (counts.every((n) => Number.isInteger(n) && n >= 1 && n <= MAX_TOKENS)) return counts
  throw new InvalidArgumentError(`Expected whole numbers of 1 to ${MAX_TOKENS}, joined by commas.`)
}

async function bench(options: Options, { signal }: Run): Promise<void> {
  const subject = await prepare(options)
  const { architecture, device, plans } = subject
  const { threads = 0 } = options
  const request = {
    tables: Object.entries(plans).map(([name, plan]) => ({ name, ...nativePlan(plan) })),
    tokens: Int32Array.from(options.tokens),
    repeats: options.repeats,
  }
  const measured = await runJob([signal], (cancel) =>
    native().bench(architecture, { device: device.name, threads }, request, cancel, showProgress),
  ).finally(clearProgress)
  if (options.json) printJson(summary(subject, measured))
  else process.stdout.write(`${page(subject, measured)}\n`)
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

// --- what is printed ---

function showProgress(done: number, total: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${total} measured`)
}

function clearProgress(): void {
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
}

/** The min time the machine allows, as a share of the time taken. */
const roofline = ({ bytes, flops, seconds }: NativeBenchRow, { copy, multiply }: NativeBench): number =>
  Math.max(bytes / copy, flops / multiply) / seconds

function summary(
  { architecture, device, precision, deviceName, plans }: Subject,
  measured: NativeBench,
): unknown {
  return {
    device: device.name,
    deviceName,
    precision,
    architecture,
    ceilings: {
      copyBytesPerSecond: measured.copy,
      multiplyFlopsPerSecond: measured.multiply,
      product: measured.product,
    },
    plans: Object.entries(plans).map(([name, plan]) => ({
      name,
      sparsity: plan.sparsity(architecture),
      table: plan.table,
    })),
    rows: measured.rows.map((row) => ({
      what: row.what,
      plan: row.plan === '' ? null : row.plan,
      tokens: row.tokens,
      ms: row.seconds * 1e3,
      lowerQuartileMs: row.lower * 1e3,
      upperQuartileMs: row.upper * 1e3,
      bytesPerSecond: row.bytes / row.seconds,
      flopsPerSecond: row.flops / row.seconds,
      roofline: roofline(row, measured),
    })),
  }
}

function page(
  { architecture, device, precision, deviceName, plans }: Subject,
  measured: NativeBench,
): string {
  const { copy, multiply, product } = measured
  const g = architecture
  const blocks = blocksOf(g)
  const parameters = Plan.dense(blocks).parameters(g) - fixedParameters(g)
  const head = fields([
    ['device', `${deviceName} (${device.name}, ${precision})`],
    [
      'encoder',
      `${blocks} blocks, width ${g.width}, ff ${feedForwardOf(g)?.inner}: ${(parameters / 1e6).toFixed(0)} M random weights`,
    ],
    ['copies', `${(copy / 1e9).toFixed(1)} GB/s, read and written`],
    ['multiplies', `${(multiply / 1e12).toFixed(2)} TFLOP/s at best (${product})`],
  ])
  const rows = measured.rows.map((row) => [
    row.plan === '' ? row.what : `${row.what}, ${row.plan}`,
    String(row.tokens),
    (row.seconds * 1e3).toFixed(3),
    `${(row.lower * 1e3).toFixed(3)}-${(row.upper * 1e3).toFixed(3)}`,
    (row.bytes / row.seconds / 1e9).toFixed(1),
    (row.flops / row.seconds / 1e12).toFixed(2),
    formatPercent(roofline(row, measured)),
  ])
  const titles = ['what', 'tokens', 'ms', 'quartiles', 'GB/s', 'TFLOP/s', 'roofline']
  const [, [name, plan] = ['', Plan.dense(blocks)]] = Object.entries(plans)
  const shown = `${name}, ${formatPercent(plan.sparsity(g))} of the parameters not loaded`
  return [head, table([titles, ...rows]), shown, strip(plan, { color: pc.isColorSupported })].join('\n\n')
}
