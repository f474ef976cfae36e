/**
 * skrr beside what else runs a T5 encoder on a CPU: the same weights, the same tokens, in one run.
 *
 *     npm run bench:rivals -- [--sizes 1x77,1x300,8x128] [--only skrr,llama.cpp] [--python PYTHON] [--dir FOLDER]
 *         [--out FILE.json] [--threads 2]
 *
 * For each size every rival is a process of its own that has loaded its weights. First each one's embeddings are compared
 * with skrr's in f32: who computes something else is not timed. Then they take turns, one forward each, so that whatever
 * else happens on the machine happens to all. FILE.json keeps the sizes it has and that are not measured now; a table and
 * a chart are written beside it (render.ts). PYTHON is one that has what
 * requirements.txt names; without it install.sh makes one, once.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { cpus, tmpdir, totalmem } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Child } from './child.js'
import { render, table } from './render.js'
import type { Bits, Results, Row, Software } from './results.js'
import { rivals, type Place, type Rival } from './rivals.js'
import { parseSize, sizeName, sliceFolder } from './slice.js'
import { native } from '../../src/native/addon.js'

const { values } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1x77,1x300,8x128' },
    python: { type: 'string' },
    only: { type: 'string' },
    dir: { type: 'string', default: join(tmpdir(), 'skrr-bench-rivals') },
    out: { type: 'string' },
    machine: { type: 'string', default: `${cpus().length} x ${cpus()[0]?.model}, ${gigabytes()} GB` },
    threads: { type: 'string', default: String(native().describe().threads) },
  },
})

/** Relative L2 error at which a rival no longer computes the same: float32's noise, bf16's, and of 8 and 4 bits a few times theirs. */
const LARGEST_ERROR: Record<Bits, number> = { 32: 1e-4, 16: 0.02, 8: 0.06, 4: 0.3 }

/** Forwards of one rival: at least 3, more while they take less than 5 s together, at most 15; not counting disturbed ones. */
const ROUNDS = { least: 3, most: 15, ms: 5000, disturbed: 40 }

/** Share of a forward's time in which anything waited for a processor, from which on it counts as disturbed. */
const MOST_STALLED = 0.25

/** Until the threads of who was asked last have stopped to spin. */
const PAUSE_MS = 400

function gigabytes(): string {
  return (totalmem() / 2 ** 30).toFixed(0)
}

interface Running {
  readonly rival: Rival
  readonly child: Child
  readonly ms: number[]
  disturbed: number
  error: number
  held: number
}

async function embeddings(child: Child, dir: string): Promise<Float32Array> {
  const file = join(dir, 'embeddings.f32')
  await child.output(file)
  const bytes = new Uint8Array(await readFile(file))
  await rm(file)
  return new Float32Array(bytes.buffer)
}

function relativeError(found: Float32Array, expected: Float32Array): number {
  if (found.length !== expected.length)
    throw new Error(`${found.length} numbers, expected ${expected.length}`)
  let difference = 0
  let power = 0
  for (let i = 0; i < found.length; i++) {
    difference += (found[i]! - expected[i]!) ** 2
    power += expected[i]! ** 2
  }
  return Math.sqrt(difference / power)
}

/** Everyone's error against the first. @throws where it is more than the precision explains, or no number */
async function compare(running: readonly Running[], { dir }: Place): Promise<void> {
  const all = await embeddings(running[0]!.child, dir)
  for (const each of running.slice(1)) {
    each.error = relativeError(await embeddings(each.child, dir), all)
    const most = LARGEST_ERROR[each.rival.bits]
    if (!(each.error <= most)) throw new Error(`${each.child.name}: error ${each.error}, at most ${most}`)
  }
}

/** Microseconds, since the machine started, in which something that could run waited for a processor. */
const stalled = (): number =>
  Number(/^some .*total=(\d+)/m.exec(readFileSync('/proc/pressure/cpu', 'utf8'))![1])

/** In turns. A forward that had to share its processors with another program says nothing about either, and is not counted. */
async function time(running: readonly Running[]): Promise<void> {
  const wants = ({ ms, disturbed }: Running): boolean =>
    disturbed < ROUNDS.disturbed &&
    (ms.length < ROUNDS.least ||
      (ms.length < ROUNDS.most && ms.reduce((sum, each) => sum + each, 0) < ROUNDS.ms))
  for (let left = running.filter(wants); left.length > 0; left = left.filter(wants)) {
    for (const each of left) {
      const before = stalled()
      const ms = await each.child.run()
      if (stalled() - before < 1000 * MOST_STALLED * ms) each.ms.push(ms)
      else each.disturbed++
      await sleep(PAUSE_MS)
    }
  }
  for (const { child, ms, disturbed } of running) {
    if (ms.length < ROUNDS.least)
      throw new Error(`${child.name}: ${disturbed} forwards disturbed by other programs`)
  }
}

type Versions = Partial<Record<Software, string>>

async function measure(place: Place): Promise<{ rows: Row[]; versions: Versions }> {
  const running: Running[] = []
  const versions: Versions = {}
  try {
    for (const rival of rivals(python).filter(({ software }) => software === 'skrr' || only(software))) {
      const name = `${rival.software} ${rival.precision}`
      const { child, version } = await Child.start(name, await rival.command(place))
      versions[rival.software] = version
      running.push({ rival, child, ms: [], disturbed: 0, error: 0, held: 0 })
    }
    await compare(running, place)
    for (const each of running) each.held = await each.child.held()
    await time(running)
    const rows: Row[] = []
    for (const { rival, child, ms, disturbed, error, held } of running) {
      const { software, precision, bits } = rival
      rows.push({ software, precision, bits, ms, disturbed, peak: await child.peak(), held, error })
    }
    return { rows, versions }
  } finally {
    await Promise.all(running.map(({ child }) => child.end()))
  }
}

const commit = (): string =>
  execFileSync('git', ['describe', '--always', '--dirty'], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
  }).trim()

const only = (software: string): boolean => values.only?.split(',').includes(software) ?? true
const python =
  values.python ?? execFileSync(join(import.meta.dirname, 'install.sh'), { encoding: 'utf8' }).trim()
const dir = resolve(values.dir)
await mkdir(dir, { recursive: true })
const slice = await sliceFolder(dir)
const threads = Number(values.threads)
const known =
  values.out !== undefined && existsSync(values.out)
    ? (JSON.parse(readFileSync(values.out, 'utf8')) as Results)
    : undefined
let results: Results = {
  machine: values.machine,
  node: process.version,
  threads,
  versions: {},
  sizes: known?.sizes ?? {},
}
for (const size of values.sizes.split(',').map(parseSize)) {
  const { rows, versions } = await measure({ dir, slice, size, threads })
  const measured = { date: new Date().toISOString().slice(0, 10), commit: commit(), rows }
  results = { ...results, versions, sizes: { ...results.sizes, [sizeName(size)]: measured } }
  process.stdout.write(`${sizeName(size)}\n\n${table(rows)}\n\n`)
}
if (values.out !== undefined) {
  await writeFile(values.out, `${JSON.stringify(results, null, 1)}\n`)
  await render(values.out)
}
