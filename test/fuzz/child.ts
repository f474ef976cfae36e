// The process that runs cases, started by batch.ts: `seeds FOLDER`, or `cases FOLDER SEED FIRST COUNT`. It reports each case as
// it ends, so that whoever started it knows in which one it died.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { actions } from './actions.js'
import { caseOf, writeCase, type Action } from './cases.js'
import { writeSeeds } from './seeds.js'
import { GOOD, judge, type Verdict } from './verdict.js'

/** First `ready`, then a report for each case. */
export type Message = { readonly ready: true } | Report

export interface Report extends Verdict {
  readonly number: number
  readonly action: Action
  readonly file: string
  readonly ms: number
  /** Of all threads. */
  readonly cpuMs: number
  /** Bytes by which the process is larger than before its first case, at its largest. */
  readonly growth: number
}

const send = (message: Message): void => void process.send!(message)

const peak = (): number => process.resourceUsage().maxRSS * 1024

async function runCase(
  seeds: string,
  scratch: string,
  seed: number,
  number: number,
): Promise<Omit<Report, 'growth'>> {
  const one = caseOf(seed, number)
  const folder = join(scratch, `case-${number}`)
  writeCase(seeds, folder, one)
  const { action } = one
  const { seed: from, file } = one.scenario
  const started = performance.now()
  const usage = process.cpuUsage()
  let verdict = GOOD
  try {
    await actions[action](folder, one)
  } catch (error) {
    verdict = judge(error, action, folder)
  }
  const ms = performance.now() - started
  const { user, system } = process.cpuUsage(usage)
  rmSync(folder, { recursive: true })
  return { number, action, file: `${from}/${file}`, ms, cpuMs: (user + system) / 1000, ...verdict }
}

async function runCases(seeds: string, seed: number, first: number, count: number): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'skrr-fuzz-'))
  process.on('exit', () => rmSync(scratch, { recursive: true, force: true }))
  let stray: string | undefined
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(
      event,
      (error: unknown) => void (stray = error instanceof Error ? (error.stack ?? error.message) : event),
    )
  }
  const before = process.memoryUsage.rss()
  send({ ready: true })
  for (let number = first; number < first + count; number++) {
    const report = await runCase(seeds, scratch, seed, number)
    const thrown: Partial<Verdict> =
      stray === undefined ? {} : { outcome: 'foreign', failure: `an error that nobody caught: ${stray}` }
    stray = undefined
    send({ ...report, ...thrown, growth: Math.max(0, peak() - before) })
  }
}

const [mode, seeds, ...numbers] = process.argv.slice(2)
if (mode === 'seeds') await writeSeeds(seeds!)
else await runCases(seeds!, ...(numbers.map(Number) as [number, number, number]))
process.disconnect()
