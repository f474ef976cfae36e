/**
 * Two builds of skrr in turns on the CPU: does a change of the code cost speed?
 *
 *     npm run bench:before-after -- --before ../skrr-before [--after .] [--turns 21] [--sizes 1x20,1x77,8x128]
 *         [--precisions f32,bf16,int8,int4] [--blocks 1] [--threads N] [--limit 0.97] [--model CHECKPOINT] [--dir FOLDER]
 *         [--out FILE.json]
 *
 * --before and --after are checkouts with dist/ and prebuilds/ (`npm ci && npm run build`). Each is one process, which holds
 * one block (or two) of the slice of T5-XXL that bench/rivals has, in one precision at a time. They take turns, one forward
 * each, before and after, so that whatever else happens on the machine happens to both. With --out, the times and a table
 * beside them (.md) are written. --model names another checkpoint than the slice, of at least 1024 tokens. Exit code 1 where the 95 % interval of a ratio before / after lies below --limit.
 */
import { execFileSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Child } from '../rivals/child.js'
import { openCheckpoint } from '../../src/checkpoint/open.js'
import type { Architecture } from '../../src/model/architecture.js'
import { native } from '../../src/native/addon.js'
import { idsOf, parseSize, sizeName, sliceFolder, type Size } from '../rivals/slice.js'
import { ratioOf } from './ratio.js'
import { markdown, slower, type Build, type Comparison, type Row } from './report.js'

const { values } = parseArgs({
  options: {
    before: { type: 'string' },
    after: { type: 'string', default: '.' },
    turns: { type: 'string', default: '21' },
    sizes: { type: 'string', default: '1x20,1x77,8x128' },
    precisions: { type: 'string', default: 'f32,bf16,int8,int4' },
    blocks: { type: 'string', default: '1' },
    threads: { type: 'string', default: String(native().describe().threads) },
    limit: { type: 'string', default: '0.97' },
    model: { type: 'string' },
    dir: { type: 'string', default: join(tmpdir(), 'skrr-bench-rivals') },
    out: { type: 'string' },
  },
})
if (values.before === undefined) throw new Error('--before: found none, expected a built checkout')

const turns = Number(values.turns)
const threads = Number(values.threads)
const blocks = Number(values.blocks)

/** The plan that skips the blocks not asked for. */
const tableOf = ({ subBlocks }: Architecture): (number | null)[] =>
  Array.from({ length: subBlocks.length }, (_, i) => (i < 2 * blocks ? i : null))

/** Forwards of each before the first turn: the first maps pages and fills caches. */
const WARM_UP = 2

/** Until the threads of the build that ran last have stopped to spin. */
const PAUSE_MS = 100

interface Running {
  readonly child: Child
  readonly build: Build
}

async function start(name: string, checkout: string): Promise<Running> {
  const command = [process.execPath, join(import.meta.dirname, 'child.mjs'), checkout] as const
  const { child, version: isa } = await Child.start(name, command)
  return { child, build: { commit: commitOf(checkout), isa } }
}

/** Tags say nothing here: the commit itself. */
const commitOf = (checkout: string): string =>
  execFileSync('git', ['describe', '--always', '--dirty', '--exclude', '*'], {
    cwd: checkout,
    encoding: 'utf8',
  }).trim()

interface Forward {
  readonly ms: number
  readonly hash: string
}

async function forward({ child }: Running, ids: readonly number[][]): Promise<Forward> {
  const result = await child.ask<Forward>({ ask: 'run', ids })
  await sleep(PAUSE_MS)
  return result
}

async function inTurns(pair: readonly [Running, Running], precision: string, size: Size): Promise<Row> {
  const ids = idsOf(size)
  for (const each of pair) for (let i = 0; i < WARM_UP; i++) await forward(each, ids)
  const ms: { before: number[]; after: number[] } = { before: [], after: [] }
  let same = true
  for (let turn = 0; turn < turns; turn++) {
    const before = await forward(pair[0], ids)
    const after = await forward(pair[1], ids)
    ms.before.push(before.ms)
    ms.after.push(after.ms)
    same &&= before.hash === after.hash
  }
  return { precision, size: sizeName(size), same, ...ratioOf(ms.before, ms.after), ms }
}

async function compare(pair: readonly [Running, Running], model: string): Promise<Row[]> {
  const rows: Row[] = []
  const table = tableOf((await openCheckpoint(model)).architecture)
  for (const precision of values.precisions.split(',')) {
    for (const { child } of pair) await child.ask({ ask: 'open', model, table, precision, threads })
    for (const size of values.sizes.split(',').map(parseSize)) {
      const row = await inTurns(pair, precision, size)
      process.stderr.write(`${precision} ${row.size}: ${row.ratio.toFixed(3)}\n`)
      rows.push(row)
    }
  }
  return rows
}

async function main(checkouts: readonly [string, string]): Promise<Comparison> {
  const dir = resolve(values.dir)
  await mkdir(dir, { recursive: true })
  const model = values.model === undefined ? await sliceFolder(dir) : resolve(values.model)
  const before = await start('before', checkouts[0])
  try {
    const after = await start('after', checkouts[1])
    try {
      return {
        date: new Date().toISOString().slice(0, 10),
        machine: `${cpus().length} x ${cpus()[0]?.model}, ${(totalmem() / 2 ** 30).toFixed(0)} GB`,
        node: process.version,
        threads,
        blocks,
        command: `npm run bench:before-after -- ${process.argv.slice(2).join(' ')}`,
        before: before.build,
        after: after.build,
        limit: Number(values.limit),
        rows: await compare([before, after], model),
      }
    } finally {
      await after.child.end()
    }
  } finally {
    await before.child.end()
  }
}

const comparison = await main([resolve(values.before), resolve(values.after)])
process.stdout.write(markdown(comparison))
if (values.out !== undefined) {
  await writeFile(values.out, `${JSON.stringify(comparison, null, 1)}\n`)
  await writeFile(values.out.replace(/(\.json)?$/, '.md'), markdown(comparison))
}
if (slower(comparison).length > 0) process.exitCode = 1
