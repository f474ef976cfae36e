/**
 * T5-XXL at its real size: does an encoder take the memory that estimate() promised, dense and at 41.9 %?
 *
 *     npm run bench:t5-xxl [-- --precision bf16|int8|int4] [--exported] [--dir FOLDER] [--report FILE.md]
 *
 * Writes a synthetic checkpoint (4,762,310,656 parameters, bf16, 9.5 GB in shards) and loads and runs it in a process of
 * its own per plan (bench/t5-xxl-child.mjs, which uses the built package). With --exported the plans are exported in the
 * precision first and the exported files loaded, then by two processes at once, which share their pages. Exit code 1 where a
 * peak is off its promise.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises'
import { cpus, tmpdir, totalmem } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { T5_XXL } from '../src/families/t5.js'
import { writeSynthetic } from '../src/export/synthetic.js'
import { ByteBar, formatBytes, formatPercent } from '../src/cli/terminal.js'
import {
  denseParameters,
  exportPacked,
  openCheckpoint,
  resolvePreset,
  Encoder,
  type MemoryUse,
  type Precision,
} from '../src/index.js'
import { PRECISIONS } from '../src/model/precision.js'
import { weightBytes } from '../src/select/measure/target.js'

const PLANS = ['dense', 'pixart-sigma-41.9']
const TOKENS = [77, 300]
const BYTES = 2 * denseParameters(T5_XXL)
/** The promise: 5 % for what is counted, 300 MB for Node itself, the tokenizer and what no one counts. */
const tolerance = (promised: number): number => 0.05 * promised + 300e6

const root = join(import.meta.dirname, '..')

/** What bench/t5-xxl-child.mjs prints. Bytes and milliseconds. */
interface Run {
  readonly loadMs: number
  /** Bytes that loading took from the storage and not from the page cache. */
  readonly fromDisk: number
  readonly firstMs: number
  readonly encodeMs: Readonly<Record<string, number>>
  readonly memory: MemoryUse
  /** Peak resident memory as the kernel counts it. */
  readonly peak: number
  /** After everything ran: anonymous pages are the engine's own, file pages the mapped checkpoint's. */
  readonly anonymous: number
  readonly file: number
  /** The most file pages that were seen while loading. */
  readonly fileLoading: number
  readonly bare: number
}

interface Outcome extends Run {
  readonly plan: string
  readonly sparsity: number
  readonly promised: MemoryUse
  /** Where the weights came packed. */
  readonly exported?: { readonly exportMs: number; readonly bytes: number; readonly pss: readonly number[] }
}

const { values } = parseArgs({
  options: {
    dir: { type: 'string' },
    report: { type: 'string' },
    precision: { type: 'string', default: 'bf16' },
    exported: { type: 'boolean', default: false },
  },
})
const precision = PRECISIONS.find((known) => known === values.precision)
if (precision === undefined) throw new Error(`--precision: expected one of ${PRECISIONS.join(', ')}`)

/** A child that has loaded and encoded and holds what it has, and what it printed. */
async function run(model: string, plan: string): Promise<{ child: ChildProcess; result: Run }> {
  const file = join(root, 'bench', 't5-xxl-child.mjs')
  const prompts = join(root, 'test/data/prompts/dpg.txt')
  const args = [file, model, plan, precision as Precision, prompts, TOKENS.join()]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  for await (const line of createInterface(child.stdout)) return { child, result: JSON.parse(line) as Run }
  throw new Error('the child ended without a result')
}

async function end(child: ChildProcess): Promise<void> {
  const closed = new Promise((done) => child.once('close', done))
  child.stdin!.end()
  await closed
}

const promise = (model: string, plan: string | undefined): Promise<MemoryUse> => {
  const longest = Math.max(...TOKENS)
  return Encoder.estimate(model, { plan, precision, tokens: longest, longest })
}

async function measure(model: string, plan: string): Promise<Outcome> {
  const sparsity = resolvePreset(plan, T5_XXL).sparsity(T5_XXL)
  const promised = await promise(model, plan)
  const { child, result } = await run(model, plan)
  await end(child)
  return { plan, sparsity, promised, ...result }
}

/** Proportional set size: pages that several processes map count for each by its share. */
const pssOf = ({ pid }: ChildProcess): number =>
  1024 * Number(/^Pss:\s*(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))![1])

async function measureExported(model: string, name: string): Promise<Outcome> {
  const out = `${model}-${name}-${precision}`
  const plan = resolvePreset(name, T5_XXL)
  const started = performance.now()
  try {
    const bytes = await exportPacked(await openCheckpoint(model), plan, out, { precision: precision! })
    const exportMs = performance.now() - started
    const promised = await promise(out, undefined)
    const first = await run(out, '-')
    const second = await run(out, '-')
    const pss = [first, second].map(({ child }) => pssOf(child))
    await end(first.child)
    await end(second.child)
    const exported = { exportMs, bytes, pss }
    return { plan: name, sparsity: plan.sparsity(T5_XXL), promised, exported, ...first.result }
  } finally {
    await rm(out, { recursive: true, force: true })
  }
}

/** What was promised and did not come true. */
function broken(outcomes: readonly Outcome[]): string[] {
  const faults = outcomes.flatMap(({ plan, peak, promised: { total } }) =>
    Math.abs(peak - total) <= tolerance(total)
      ? []
      : [
          `${plan}: peak ${formatBytes(peak)}, promised ${formatBytes(total)} ± ${formatBytes(tolerance(total))}`,
        ],
  )
  const [dense, pruned] = outcomes
  const saved = dense!.peak - pruned!.peak
  const held = ({ plan }: Outcome): number => weightBytes(resolvePreset(plan, T5_XXL), T5_XXL, precision!)
  const due = held(dense!) - held(pruned!)
  if (Math.abs(saved - due) > 0.05 * due) {
    faults.push(`${pruned!.plan}: saves ${formatBytes(saved)}, expected ${formatBytes(due)} ± 5 %`)
  }
  return faults
}

function report(outcomes: readonly Outcome[]): string {
  const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(2)
  const row = (label: string, value: (outcome: Outcome) => string): string =>
    `| ${label} | ${outcomes.map(value).join(' | ')} |`
  const [dense, pruned] = outcomes
  const exported = outcomes.every((outcome) => outcome.exported)
  return [
    row(`${precision}${exported ? ', exported' : ''}`, ({ plan }) => plan),
    row('---', () => '---:').replace('| --- |', '|---|'),
    row('sparsity', ({ sparsity }) => formatPercent(sparsity)),
    row('promised by `estimate()`, GB', ({ promised }) => gigabytes(promised.total)),
    row('of it weights / embedding / workspace, GB', ({ promised: { weights, embedding, workspace } }) =>
      [weights, embedding, workspace].map(gigabytes).join(' / '),
    ),
    row('**peak RSS, GB**', ({ peak }) => `**${gigabytes(peak)}**`),
    row('peak RSS - promised, MB (allowed)', ({ peak, promised: { total } }) => {
      return `${((peak - total) / 1e6).toFixed(0)} (± ${(tolerance(total) / 1e6).toFixed(0)})`
    }),
    row('after encoding: anonymous / file pages, GB', ({ anonymous, file }) =>
      [anonymous, file].map(gigabytes).join(' / '),
    ),
    row('most file pages while loading, GB', ({ fileLoading }) => gigabytes(fileLoading)),
    row('Node before loading, GB', ({ bare }) => gigabytes(bare)),
    row('load, s (GB of it from disk, not page cache)', ({ loadMs, fromDisk }) => {
      return `${(loadMs / 1000).toFixed(2)} (${gigabytes(fromDisk)})`
    }),
    row(`first 1 x ${TOKENS[0]} tokens, ms`, ({ firstMs }) => firstMs.toFixed(0)),
    ...TOKENS.map((n) => row(`encode 1 x ${n} tokens, ms`, ({ encodeMs }) => encodeMs[n]!.toFixed(0))),
    ...(exported
      ? [
          row('export, s (GB written)', ({ exported }) => {
            return `${(exported!.exportMs / 1000).toFixed(1)} (${gigabytes(exported!.bytes)})`
          }),
          row('PSS of two processes on it, GB', ({ exported }) => exported!.pss.map(gigabytes).join(' + ')),
        ]
      : []),
    '',
    `Saved by the plan: ${gigabytes(dense!.peak - pruned!.peak)} GB of peak RSS, ` +
      `${formatPercent(1 - pruned!.peak / dense!.peak)} of the dense one's.`,
  ].join('\n')
}

function machine(): string {
  const memory = `${(totalmem() / 2 ** 30).toFixed(0)} GiB`
  return `${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}, ${memory}, ${process.platform}, Node ${process.version}`
}

async function model(folder: string): Promise<string> {
  if (existsSync(join(folder, 'config.json'))) return folder
  await mkdir(dirname(folder), { recursive: true })
  const { bavail, bsize } = await statfs(dirname(folder))
  if (bavail * bsize < 1.05 * BYTES) {
    throw new Error(
      `${folder}: ${formatBytes(bavail * bsize)} free, ${formatBytes(BYTES)} needed; give another --dir`,
    )
  }
  const bar = new ByteBar('writing T5-XXL')
  await writeSynthetic(folder, T5_XXL, {
    dtype: 'BF16',
    seed: 1,
    shardBytes: 5e9,
    tokenizerFrom: join(root, 'test/data/tokenizers/t5'),
    onProgress: bar.update,
  }).finally(() => bar.stop())
  return folder
}

const temporary = values.dir === undefined ? await mkdtemp(join(tmpdir(), 'skrr-t5-xxl-')) : undefined
try {
  const path = await model(values.dir ? resolve(values.dir) : join(temporary!, 'model'))
  const outcomes: Outcome[] = []
  for (const plan of PLANS) outcomes.push(await (values.exported ? measureExported : measure)(path, plan))
  const text = `${machine()}\n\n${report(outcomes)}\n`
  process.stdout.write(text)
  if (values.report !== undefined) await writeFile(values.report, text)
  for (const fault of broken(outcomes)) {
    process.stderr.write(`broken promise: ${fault}\n`)
    process.exitCode = 1
  }
} finally {
  if (temporary !== undefined) await rm(temporary, { recursive: true })
}
