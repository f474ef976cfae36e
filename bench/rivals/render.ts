/**
 * The results as tables and as a chart, beside their JSON:
 *
 *     node scripts/run-ts.mjs bench/rivals/render.ts bench/results/rivals-2026-11.json
 */
import { readFile, writeFile } from 'node:fs/promises'
import { basename } from 'node:path'
import { chart } from './chart.js'
import { median, quantile, type Bits, type Results, type Row, type Software } from './results.js'

const row = (...cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`

/** Bold is skrr. */
const label = ({ software, precision }: Row): string =>
  software === 'skrr' ? `**skrr ${precision}**` : `${software} ${precision}`

const milliseconds = (ms: number): string => ms.toFixed(ms < 100 ? 1 : 0)
const mebibytes = (bytes: number | undefined): string =>
  bytes === undefined ? '' : (bytes / 2 ** 20).toFixed(0)

/** One size: everyone's time with its quartiles, how many times the time of skrr with as many bits, peak, error. */
export function table(rows: readonly Row[]): string {
  const ours = (bits: Bits): Row => find(rows, 'skrr', bits)!
  const memory = new Map<string, (row: Row) => number | undefined>([['peak RSS MiB', peak]])
  if (rows.some(({ held }) => held !== undefined)) memory.set('held MiB', ({ held }) => held)
  return [
    row('', 'bits', 'ms', 'quartiles', 'runs', 'left out', 'times skrr', ...memory.keys(), 'error'),
    `|---|${'---:|'.repeat(7 + memory.size)}`,
    ...rows.map((each) =>
      row(
        label(each),
        each.bits,
        milliseconds(median(each)),
        `${milliseconds(quantile(each.ms, 0.25))} to ${milliseconds(quantile(each.ms, 0.75))}`,
        each.ms.length,
        each.disturbed,
        (median(each) / median(ours(each.bits))).toFixed(2),
        ...[...memory.values()].map((of) => mebibytes(of(each))),
        each.error === 0 ? '' : each.error.toExponential(1),
      ),
    ),
  ].join('\n')
}

const find = (rows: readonly Row[], software: Software, bits: Bits): Row | undefined =>
  rows.find((each) => each.software === software && each.bits === bits)

interface Bar {
  readonly says: string
  readonly bits: Bits
  readonly rival: readonly [Software, Bits]
  readonly measure: (row: Row) => number
  /** What the rival's must be at least, over ours. */
  readonly least: number
  /** Where it is for one size only. */
  readonly size?: string
}

const peak = ({ peak }: Row): number => peak

/** What this backend set out to reach. */
const BARS: readonly Bar[] = [
  {
    says: 'int8 is 1.6 times faster than onnxruntime int8',
    bits: 8,
    rival: ['onnxruntime', 8],
    measure: median,
    least: 1.6,
  },
  { says: '... at lower peak memory', bits: 8, rival: ['onnxruntime', 8], measure: peak, least: 1 },
  {
    says: 'bf16 is 2 times faster than PyTorch bf16',
    bits: 16,
    rival: ['PyTorch', 16],
    measure: median,
    least: 2,
  },
  {
    says: 'bf16 is 2 times faster than llama.cpp bf16',
    bits: 16,
    rival: ['llama.cpp', 16],
    measure: median,
    least: 2,
  },
  {
    says: 'f32 is not slower than onnxruntime fp32',
    bits: 32,
    rival: ['onnxruntime', 32],
    measure: median,
    least: 1,
  },
  {
    says: 'int4 is not slower than int8',
    bits: 4,
    rival: ['skrr', 8],
    measure: median,
    least: 1,
    size: '1x77',
  },
]

/** The rival's over ours for each bar and size, and whether that is enough. */
export function verdicts({ sizes }: Results): string {
  const names = Object.keys(sizes)
  const cell = ({ bits, rival, measure, least, size }: Bar, name: string): string => {
    const { rows } = sizes[name]!
    const theirs = find(rows, ...rival)
    if (theirs === undefined || (size ?? name) !== name) return ''
    const ratio = measure(theirs) / measure(find(rows, 'skrr', bits)!)
    return `${ratio.toFixed(2)} ${ratio >= least ? 'yes' : '**no**'}`
  }
  const measured = BARS.filter(({ rival }) =>
    Object.values(sizes).some(({ rows }) => find(rows, ...rival) !== undefined),
  )
  return [
    row('theirs / ours', 'at least', ...names),
    `|---|${'---:|'.repeat(1 + names.length)}`,
    ...measured.map((bar) => row(bar.says, bar.least, ...names.map((name) => cell(bar, name)))),
  ].join('\n')
}

function markdown(results: Results, name: string): string {
  const { machine, node, threads, versions, notes = [], sizes } = results
  const listed = Object.entries(versions).map(([software, version]) => `${software} ${version}`)
  return [
    '# skrr beside other T5 encoders on a CPU',
    '',
    `${machine}, ${threads} threads for everybody, Node ${node}; ${listed.join('; ')}.`,
    '',
    '    npm run bench:rivals -- --out FILE.json',
    '',
    'Two blocks of T5-XXL with made-up bf16 weights, the same tokens for all, BATCHxTOKENS. For each size all processes are',
    'alive at once and take turns, one forward each; medians. Left out: forwards in which a program waited for a processor',
    '(the kernel tells). Error: relative L2 of the embeddings against skrr in f32. Peak RSS: of the whole process,',
    'loading and compiling included; held: after the first forward. How each was set up: `bench/rivals/README.md`. This page and the chart are',
    `made by \`bench/rivals/render.ts\` from [${name}.json](${name}.json), which has every single time.`,
    ...notes.flatMap((note) => ['', note]),
    '',
    `![milliseconds a forward](${name}.svg)`,
    '',
    '## What was aimed at',
    '',
    verdicts(results),
    ...Object.entries(sizes).flatMap(([size, { date, commit, rows }]) => [
      ...['', `## ${size}`, '', `${date}, commit ${commit}.`, ''],
      table(rows),
    ]),
    '',
  ].join('\n')
}

/** The page and the chart of results that lie in NAME.json. */
export const renderings = (results: Results, name: string): { md: string; svg: string } => ({
  md: markdown(results, name),
  svg: chart(results),
})

/** Writes the .md and .svg beside `file`. */
export async function render(file: string): Promise<void> {
  const stem = file.replace(/\.json$/, '')
  const { md, svg } = renderings(JSON.parse(await readFile(file, 'utf8')) as Results, basename(stem))
  await writeFile(`${stem}.md`, md)
  await writeFile(`${stem}.svg`, svg)
}

if (process.argv[1] === import.meta.filename) await render(process.argv[2]!)
