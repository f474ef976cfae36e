import { stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { TokenizerError, type ErrorDetail } from '../../errors.js'
import { isOutOfMemory, startWorker } from '../../io/worker.js'
import { tokenizerFile, type Tokenized } from './index.js'
import { MAX_HEAP_MB } from './read-apart.js'
import type { TokenizerFacts } from './types.js'

export type { TokenizerFacts } from './types.js'

/** To the thread (worker.ts), as it starts; then jobs and cancels. */
export interface Start {
  readonly file: string
  readonly progress: Int32Array
}
export interface Job {
  readonly id: number
  readonly prompts: readonly string[]
  readonly maxTokens: number
  /** Without special ids around each prompt. */
  readonly bare: boolean
}
export interface Cancel {
  readonly cancel: number
}
/**
 * From the thread: first what it opened or why it failed, then answers. Ids of all prompts lie one after the other. `memory`: see
 * memoryOfThread().
 */
export type Opened = { facts: TokenizerFacts; memory: number } | { failed: ErrorDetail }
export type Answer = { id: number; memory: number } & (
  { ids: Int32Array; ends: Int32Array; truncated: boolean[] } | { error: string }
)

/** Memory that a thread and its owner share: the id of the call a step is being done for (0: none), and steps begun. */
export const PROGRESS = { call: 0, steps: 1 } as const

/** How long a step may take after its call was aborted. */
const GRACE_MS = 250
/** Seconds in which a call makes no step until it is given up; a step takes some 10 ms. */
const SILENT_S = 10
const OPENING_S = 60
/** After so long without a call the thread ends; the next call starts it anew. */
const IDLE_MS = 60_000
/** Threads that wait for calls; more end at once. */
const MAX_IDLE = 4

interface Call extends Job {
  readonly resolve: (result: Tokenized) => void
  readonly reject: (reason: unknown) => void
}

/** A running thread. */
interface Live {
  readonly worker: Worker
  readonly progress: Int32Array
  opened: boolean
}

/** By file and its state on disk. */
const known = new Map<string, SharedTokenizer>()
const idle = new Set<SharedTokenizer>()

/**
 * The one thread of a tokenizer file, for all encoders that use it. A thread that does not answer, or that died, is replaced, and the
 * calls that were not to blame run again on the new one.
 */
export class SharedTokenizer {
  #users = 0
  #live: Live | undefined
  #facts: TokenizerFacts | undefined
  #memory = 0
  readonly #calls = new Map<number, Call>()
  /** Told of the facts, or of why there are none. */
  readonly #opening = new Set<{
    resolve: (facts: TokenizerFacts) => void
    reject: (error: unknown) => void
  }>()
  #lastId = 0
  #idleTimer: NodeJS.Timeout | undefined
  #watch: NodeJS.Timeout | undefined
  #silent = 0
  #stepsSeen = -1

  private constructor(
    private readonly key: string,
    private readonly file: string,
  ) {}

  /** The tokenizer of a file or folder, for one user more. @throws TokenizerError */
  static async acquire(path: string): Promise<SharedTokenizer> {
    const file = await tokenizerFile(path)
    const key = await stateOf(file)
    const shared = known.get(key) ?? new SharedTokenizer(key, file)
    known.set(key, shared)
    shared.#users++
    return shared
  }

  /** One user less; the last one ends the thread. */
  async release(): Promise<void> {
    if (--this.#users > 0) return
    if (known.get(this.key) === this) known.delete(this.key)
    const worker = this.#drop()
    this.#failAll(new TokenizerError({ file: this.file, message: 'the tokenizer was closed' }))
    await worker?.terminate()
  }

  /** Bytes the thread held when it last answered; 0 where it does not run. */
  get memory(): number {
    return this.#live?.opened ? this.#memory : 0
  }

  /** Starts the thread where it does not run. @throws TokenizerError; ERR_ENGINE where no thread can be started */
  async facts(): Promise<TokenizerFacts> {
    if (this.#facts !== undefined) return this.#facts
    const facts = new Promise<TokenizerFacts>((resolve, reject) => this.#opening.add({ resolve, reject }))
    this.#start()
    return await facts
  }

  /** @returns the call's id, to abort it by */
  call(job: Omit<Call, 'id'>): number {
    const call = { ...job, id: ++this.#lastId }
    this.#calls.set(call.id, call)
    this.#busy()
    if (this.#live?.opened) this.#live.worker.postMessage(jobOf(call))
    else if (this.#live === undefined) void this.#restart()
    return call.id
  }

  /** Forgets a call; nobody waits for it. A thread that stays in its step is ended. */
  abort(id: number): void {
    if (!this.#calls.delete(id)) return
    const live = this.#live
    if (live?.opened) {
      live.worker.postMessage({ cancel: id } satisfies Cancel)
      this.#endWhereStuck(live, id, Atomics.load(live.progress, PROGRESS.steps))
    }
    this.#rest()
  }

  /** Replaces a thread that is still in the same step of a call that was aborted. @param seen steps begun before */
  #endWhereStuck(live: Live, id: number, seen: number): void {
    setTimeout(() => {
      if (this.#live !== live || Atomics.load(live.progress, PROGRESS.call) !== id) return
      const steps = Atomics.load(live.progress, PROGRESS.steps)
      if (steps === seen) this.#replace()
      else this.#endWhereStuck(live, id, steps)
    }, GRACE_MS).unref()
  }

  /** The thread ran before: it must find the file it knew. */
  async #restart(): Promise<void> {
    const state = await stateOf(this.file).catch(() => undefined)
    if (this.#live !== undefined || this.#calls.size === 0) return
    if (state === this.key) {
      this.#start()
      return
    }
    const found = state === undefined ? 'nothing' : 'another file than when the encoder was loaded'
    this.#failAll(
      new TokenizerError({
        file: this.file,
        found,
        expected: 'the same file',
        hint: 'Load the encoder anew',
      }),
    )
  }

  #start(): void {
    if (this.#live !== undefined) return
    const progress = new Int32Array(new SharedArrayBuffer(8))
    const start: Start = { file: this.file, progress }
    let worker: Worker
    try {
      worker = startWorker(['prompts', 'tokenizer', 'worker.js'], start, MAX_HEAP_MB)
    } catch (error) {
      this.#failAll(error)
      return
    }
    const live = { worker, progress, opened: false }
    this.#live = live
    worker.on('message', (message: Opened | Answer) => {
      if (this.#live !== live) return
      if ('id' in message) this.#answer(message)
      else this.#opened(live, message)
    })
    worker.on('error', (error) => this.#died(live, error))
    worker.on('exit', () => this.#died(live, undefined))
    this.#busy()
  }

  #opened(live: Live, message: Opened): void {
    if ('failed' in message) {
      this.#end()
      this.#failAll(new TokenizerError(message.failed))
      return
    }
    live.opened = true
    this.#facts = message.facts
    this.#memory = message.memory
    for (const { resolve } of this.#opening) resolve(message.facts)
    this.#opening.clear()
    for (const call of this.#calls.values()) live.worker.postMessage(jobOf(call))
    this.#rest()
  }

  #answer(answer: Answer): void {
    this.#memory = answer.memory
    const call = this.#calls.get(answer.id)
    if (call === undefined) return // aborted meanwhile
    this.#calls.delete(answer.id)
    if ('error' in answer) call.reject(new TokenizerError({ file: this.file, message: answer.error }))
    else {
      const { ids, ends, truncated } = answer
      const cuts = Array.from(ends, (end, i) => ids.subarray(i === 0 ? 0 : ends[i - 1], end))
      call.resolve({ ids: cuts, truncated })
    }
    this.#rest()
  }

  /** A thread that ended by itself: its call fails, the others run again. */
  #died(live: Live, cause: Error | undefined): void {
    if (this.#live !== live) return
    const message = isOutOfMemory(cause)
      ? `takes more than ${MAX_HEAP_MB} MB`
      : `ended: ${cause?.message ?? 'its thread exited'}`
    this.#blame(live, new TokenizerError({ file: this.file, message }, { cause }))
  }

  /** Fails the call whose step is to blame, or all where none is, and runs the others on a new thread. */
  #blame(live: Live, error: TokenizerError): void {
    const culprit = this.#calls.get(Atomics.load(live.progress, PROGRESS.call))
    if (culprit === undefined) {
      this.#end()
      this.#failAll(error)
      return
    }
    this.#calls.delete(culprit.id)
    culprit.reject(error)
    this.#replace()
  }

  /** Ends the thread; the calls that wait get another one. */
  #replace(): void {
    this.#end()
    if (this.#calls.size > 0) void this.#restart()
    else this.#rest()
  }

  #end(): void {
    void this.#drop()?.terminate()
  }

  #drop(): Worker | undefined {
    const worker = this.#live?.worker
    this.#live = undefined
    idle.delete(this)
    clearTimeout(this.#idleTimer)
    clearInterval(this.#watch)
    this.#watch = undefined
    return worker
  }

  #failAll(error: unknown): void {
    const waiting = [...this.#calls.values(), ...this.#opening]
    this.#calls.clear()
    this.#opening.clear()
    for (const { reject } of waiting) reject(error)
  }

  /** Somebody waits: the thread keeps the process alive, and is watched. */
  #busy(): void {
    clearTimeout(this.#idleTimer)
    idle.delete(this)
    this.#live?.worker.ref()
    if (this.#watch !== undefined) return
    this.#silent = 0
    this.#watch = setInterval(() => this.#look(), 1000).unref()
  }

  /** Where nobody waits any more, the thread rests, and ends after a while. */
  #rest(): void {
    if (this.#calls.size > 0 || this.#opening.size > 0 || this.#live === undefined) return
    this.#live.worker.unref()
    clearInterval(this.#watch)
    this.#watch = undefined
    clearTimeout(this.#idleTimer)
    this.#idleTimer = setTimeout(() => this.#end(), IDLE_MS).unref()
    idle.delete(this)
    idle.add(this)
    const [oldest] = idle
    if (idle.size > MAX_IDLE) oldest!.#end()
  }

  /** Once a second: counts seconds in which the thread did not move, so that a process that was stopped blames nobody. */
  #look(): void {
    const live = this.#live
    if (live === undefined) return
    const steps = Atomics.load(live.progress, PROGRESS.steps)
    const inStep = Atomics.load(live.progress, PROGRESS.call) !== 0
    this.#silent = steps === this.#stepsSeen && (inStep || !live.opened) ? this.#silent + 1 : 0
    this.#stepsSeen = steps
    if (this.#silent < (live.opened ? SILENT_S : OPENING_S)) return
    this.#silent = 0
    const found = live.opened ? `no answer for ${SILENT_S} s` : `a file not read in ${OPENING_S} s`
    this.#blame(live, new TokenizerError({ file: this.file, found, expected: 'a tokenizer that ends' }))
  }
}

const jobOf = ({ id, prompts, maxTokens, bare }: Call): Job => ({ id, prompts, maxTokens, bare })

/** A file replaced or changed is another one. */
async function stateOf(file: string): Promise<string> {
  const { dev, ino, mtimeMs, size } = await stat(file)
  return [resolve(file), dev, ino, mtimeMs, size].join(':')
}
