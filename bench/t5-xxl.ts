/**
 * T5-XXL at its real size: does an encoder take the memory that estimate() promised, dense and at 41.9 %?
 *
 *     npm run bench:t5-xxl [-- --dir FOLDER] [--report FILE.md]
 *
 * Writes a synthetic checkpoint (4,762,310,656 parameters, bf16, 9.5 GB in shards) and loads and runs it in a process of
 * its own per plan (bench/t5-xxl-child.mjs, which uses the built package). Exit code 1 where a peak is off its promise.
 */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rm, statfs, writeFile } from 'node:fs/promises'
import { cpus, tmpdir, totalmem } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { T5_XXL } from '../src/checkpoint/geometries.js'
import { writeSynthetic } from '../src/checkpoint/synthetic.js'
import { ByteBar, formatBytes, formatPercent } from '../src/cli/terminal.js'
import { denseParameters, resolvePreset, TextEncoder, type MemoryUse } from '../src/index.js'

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
}

async function measure(model: string, plan: string): Promise<Outcome> {
  const longest = Math.max(...TOKENS)
  const promised = await TextEncoder.estimate(model, { plan, precision: 'bf16', tokens: longest, longest })
  const child = join(root, 'bench', 't5-xxl-child.mjs')
  const prompts = join(root, 'test/data/prompts/dpg.txt')
  const { stdout } = await promisify(execFile)(process.execPath, [child, model, plan, prompts, TOKENS.join()])
  const sparsity = resolvePreset(plan, T5_XXL).sparsity(T5_XXL)
  return { plan, sparsity, promised, ...(JSON.parse(stdout) as Run) }
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
  const due = (pruned!.sparsity - dense!.sparsity) * BYTES
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
  return [
    row('', ({ plan }) => plan),
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
      return `${(loadMs / 1000).toFixed(1)} (${gigabytes(fromDisk)})`
    }),
    ...TOKENS.map((n) => row(`encode 1 x ${n} tokens, ms`, ({ encodeMs }) => encodeMs[n]!.toFixed(0))),
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

const { values } = parseArgs({ options: { dir: { type: 'string' }, report: { type: 'string' } } })
const temporary = values.dir === undefined ? await mkdtemp(join(tmpdir(), 'skrr-t5-xxl-')) : undefined
try {
  const path = await model(values.dir ? resolve(values.dir) : join(temporary!, 'model'))
  const outcomes: Outcome[] = []
  for (const plan of PLANS) outcomes.push(await measure(path, plan))
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
