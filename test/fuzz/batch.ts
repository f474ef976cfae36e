import { fork, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Message, Report } from './child.js'

const RUN_TS = join(import.meta.dirname, '../../scripts/run-ts.mjs')
const CHILD = join(import.meta.dirname, 'child.ts')

/** To compile itself, on a machine that has more to do. */
const START_MS = 120_000

export interface Limits {
  /** A case that takes longer hangs. */
  readonly ms: number
  /** Time of performance.now() at which a batch may end early. */
  readonly until?: number
  /** A process that is larger by more than these bytes than before its first case has a case that takes too much. */
  readonly bytes: number
}

export interface Range {
  readonly seed: number
  readonly first: number
  readonly count: number
}

/** Why a batch ended before its last case, and at which. */
export interface Ending {
  readonly number: number
  readonly kind: 'death' | 'hang' | 'memory'
  readonly detail: string
}

/** Runs cases in one process, one after the other. Resolves with undefined where it came to the last of them. */
export async function runBatch(
  seeds: string,
  { seed, first, count }: Range,
  limits: Limits,
  onReport: (report: Report) => void,
  script = CHILD,
): Promise<Ending | undefined> {
  const child = start(script, ['cases', seeds, seed, first, count])
  let stderr = ''
  child.stderr!.on('data', (text: Buffer) => void (stderr = (stderr + text.toString()).slice(-4000)))
  let number = first
  let ending = undefined as Ending | undefined // set by listeners, which the compiler does not follow
  let enough = false as boolean
  let timer: NodeJS.Timeout | undefined
  const end = (given: Ending): void => {
    ending ??= given
    child.kill('SIGKILL')
  }
  const watch = (ms: number, detail: string): void => {
    clearTimeout(timer)
    timer = setTimeout(() => end({ number, kind: 'hang', detail }), ms)
  }
  watch(START_MS, 'the process did not start')
  child.on('message', (message: Message) => {
    if (ending !== undefined || enough) return
    watch(limits.ms, `no answer within ${limits.ms} ms`)
    if ('ready' in message) return
    onReport(message)
    if (message.growth > limits.bytes) {
      end({
        number: message.number,
        kind: 'memory',
        detail: `${Math.round(message.growth / 2 ** 20)} MiB more`,
      })
    }
    number = message.number + 1
    enough = performance.now() > (limits.until ?? Infinity)
    if (enough) child.kill('SIGKILL')
    if (number === first + count) watch(START_MS, 'the process did not end')
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null]
  clearTimeout(timer)
  if (ending === undefined && !enough && (code !== 0 || number < first + count)) {
    ending = { number, kind: 'death', detail: `${signal ?? `exit code ${code}`}\n${stderr}` }
  }
  return ending
}

export async function makeSeeds(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true })
  const child = start(CHILD, ['seeds', folder])
  child.stderr!.pipe(process.stderr)
  const [code] = (await once(child, 'close')) as [number | null]
  if (code !== 0) throw new Error(`the seeds cannot be made: exit code ${code}`)
}

const start = (script: string, args: readonly (string | number)[]): ChildProcess =>
  fork(RUN_TS, [script, ...args.map(String)], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, SKRR_CUDA_LIBRARY: '/left out by the fuzzer/skrr_cuda.so' },
  })

/** A busy machine gives a process little of its time: alone, a case has as much more of it, and its own use of it is counted. */
const PATIENCE = 20

/**
 * The case an ending is owed to, found by running again: first that case alone; a process that dies later than where it was hurt
 * needs more of those before it, and the fewest of them are sought. Undefined where a hang or growth does not come again when it
 * runs alone: then the machine was busy, or garbage had gathered.
 */
export async function blame(
  seeds: string,
  { seed, first }: Range,
  ending: Ending,
  { ms, bytes }: Limits,
  script = CHILD,
): Promise<Ending | undefined> {
  const { number } = ending
  let used = 0
  const again = (from: number): Promise<Ending | undefined> =>
    runBatch(
      seeds,
      { seed, first: from, count: number - from + 1 },
      { ms: PATIENCE * ms, bytes },
      (report) => void (used = report.cpuMs),
      script,
    )
  const alone = await again(number)
  if (alone !== undefined) return alone
  if (ending.kind === 'hang' && used > ms) {
    return { ...ending, detail: `${Math.round(used)} ms of processor time` }
  }
  if (ending.kind !== 'death') return undefined
  let [good, bad] = [number, first]
  while (good - bad > 1) {
    const middle = Math.floor((good + bad) / 2)
    if ((await again(middle))?.kind === 'death') bad = middle
    else good = middle
  }
  return { ...ending, detail: `after the cases from ${bad} on: ${ending.detail}` }
}
