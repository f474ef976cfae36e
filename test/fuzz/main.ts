// scripts/fuzz.mjs starts this and says what the options are.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { blame, makeSeeds, runBatch, type Ending, type Limits } from './batch.js'
import { caseOf, writeCase } from './cases.js'
import type { Report } from './child.js'
import { Tally } from './tally.js'

const BATCH = 500

const { values } = parseArgs({
  options: {
    seconds: { type: 'string' },
    cases: { type: 'string' },
    from: { type: 'string', default: '0' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    jobs: { type: 'string', default: '1' },
    limit: { type: 'string', default: '2' },
    case: { type: 'string' },
    keep: { type: 'string', default: 'build/fuzz' },
  },
})
const limits: Limits = { ms: 1000 * Number(values.limit), bytes: 512 * 2 ** 20 }
const seeds = join(mkdtempSync(join(tmpdir(), 'skrr-fuzz-seeds-')), 'seeds')

/** The files of a case, to look at. */
function keep(seed: number, number: number, why: string): string {
  const folder = join(values.keep, `${seed}-${number}`)
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(dirname(folder), { recursive: true })
  const one = caseOf(seed, number)
  writeCase(seeds, folder, one)
  writeFileSync(join(folder, 'case.json'), `${JSON.stringify({ why, ...one }, null, 2)}\n`)
  return folder
}

async function fuzz(seed: number): Promise<void> {
  const from = Number(values.from)
  const most = from + Number(values.cases ?? (values.seconds === undefined ? 10_000 : Infinity))
  const until = performance.now() + 1000 * Number(values.seconds ?? Infinity)
  const tally = new Tally(seed)
  let next = from
  const failed = (number: number, why: string): void => tally.fail(number, why, keep(seed, number, why))
  const onReport = (report: Report): void => {
    tally.add(report)
    if (report.failure !== undefined) failed(report.number, report.failure)
  }
  const onEnding = async (first: number, ending: Ending): Promise<void> => {
    const guilty = await blame(seeds, { seed, first, count: BATCH }, ending, limits)
    if (guilty) failed(guilty.number, `${guilty.kind}: ${guilty.detail}`)
    else tally.cleared(ending)
  }
  const worker = async (): Promise<void> => {
    while (next < most && performance.now() < until) {
      let first = next
      const end = Math.min(most, (next += BATCH))
      while (first < end && performance.now() < until) {
        const ending = await runBatch(
          seeds,
          { seed, first, count: end - first },
          { ...limits, until },
          onReport,
        )
        if (ending === undefined) break
        await onEnding(first, ending)
        first = ending.number + 1
      }
    }
  }
  const progress = setInterval(() => console.log(tally.line()), 10_000)
  await Promise.all(Array.from({ length: Number(values.jobs) }, worker))
  clearInterval(progress)
  console.log(tally.summary())
  if (tally.failures > 0) process.exitCode = 1
}

/** One case alone, by the name that a failure gives it. */
async function again(name: string): Promise<void> {
  const [seed, first] = name.split(':').map(Number) as [number, number]
  console.log(JSON.stringify(caseOf(seed, first), null, 2).slice(0, 4000))
  console.log(`files: ${keep(seed, first, 'asked for')}`)
  const ending = await runBatch(seeds, { seed, first, count: 1 }, limits, (report) => console.log(report))
  if (ending) console.log(ending)
}

try {
  await makeSeeds(seeds)
  await (values.case === undefined ? fuzz(Number(values.seed)) : again(values.case))
} finally {
  rmSync(dirname(seeds), { recursive: true })
}
