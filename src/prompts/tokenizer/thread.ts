import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { TokenizerError, type ErrorDetail } from '../../errors.js'
import { onAbort } from '../../io/abort.js'
import { installedFile } from '../../io/installed.js'
import { checkPrompts, type Tokenized } from './index.js'
import type { Tokenizer } from './types.js'

/** What a caller needs to know of a tokenizer on another thread. */
export type TokenizerFacts = Pick<Tokenizer, 'padId' | 'eosId' | 'vocab' | 'file'>

/** To the thread (worker.ts). */
export interface Job {
  readonly id: number
  readonly prompts: readonly string[]
  readonly maxTokens: number
}
export interface Cancel {
  readonly cancel: number
}
/** From the thread: first what it opened or why it failed, then answers. Ids of all prompts lie one after the other. */
export type Opened = { facts: TokenizerFacts } | { failed: ErrorDetail }
export type Answer = { id: number } & (
  { ids: Int32Array; ends: Int32Array; truncated: boolean[] } | { error: string }
)

interface Waiting {
  resolve: (result: Tokenized) => void
  reject: (reason: unknown) => void
}

// The same file from src/ (tests) and from dist/: a thread needs JavaScript.
const workerFile = (): string => installedFile('dist', 'prompts', 'tokenizer', 'worker.js')

/** Threads of tokenizers that were collected without close(). */
const forgotten = new FinalizationRegistry<Worker>((worker) => void worker.terminate())

/**
 * A tokenizer on a thread of its own: opening one takes 100 ms and a long prompt 10, which an event loop must not wait for.
 * The thread keeps the process alive only while somebody waits for it.
 */
export class TokenizerThread implements TokenizerFacts {
  readonly padId: number
  readonly eosId: number
  readonly vocab: number
  readonly file: string
  readonly #worker: Worker
  readonly #waiting: Map<number, Waiting>
  #lastId = 0

  private constructor(worker: Worker, { padId, eosId, vocab, file }: TokenizerFacts) {
    this.padId = padId
    this.eosId = eosId
    this.vocab = vocab
    this.file = file
    this.#worker = worker
    this.#waiting = new Map()
    listen(worker, this.#waiting)
    worker.unref()
    forgotten.register(this, worker, this)
  }

  /** @param path as openTokenizer takes it. @throws TokenizerError, the signal's reason */
  static async open(path: string, signal?: AbortSignal): Promise<TokenizerThread> {
    const worker = new Worker(workerFile(), { workerData: path })
    try {
      const [opened] = (await once(worker, 'message', { signal })) as [Opened]
      if ('failed' in opened) throw new TokenizerError(opened.failed)
      return new TokenizerThread(worker, opened.facts)
    } catch (error) {
      await worker.terminate()
      throw signal?.aborted ? signal.reason : error
    }
  }

  /**
   * @returns per prompt at most `maxTokens` ids, eos last
   * @throws InputError for prompts that are no strings or `maxTokens` below 1; the signal's reason, at once
   */
  async tokenize(prompts: readonly string[], maxTokens: number, signal?: AbortSignal): Promise<Tokenized> {
    signal?.throwIfAborted()
    checkPrompts(prompts, maxTokens)
    const id = ++this.#lastId
    let stop: (() => void) | undefined
    if (this.#waiting.size === 0) this.#worker.ref()
    try {
      return await new Promise<Tokenized>((resolve, reject) => {
        this.#waiting.set(id, { resolve, reject })
        stop =
          signal &&
          onAbort(signal, () => {
            this.#send({ cancel: id })
            reject(signal.reason as Error)
          })
        this.#send({ id, prompts, maxTokens })
      })
    } finally {
      stop?.()
      this.#waiting.delete(id)
      if (this.#waiting.size === 0) this.#worker.unref()
    }
  }

  /** Ends the thread; calls that wait for it are rejected. */
  async close(): Promise<void> {
    forgotten.unregister(this)
    await this.#worker.terminate()
  }

  #send(request: Job | Cancel): void {
    this.#worker.postMessage(request)
  }
}

/** Not a method: the thread's listeners must not keep alive the object whose collection ends the thread. */
function listen(worker: Worker, waiting: Map<number, Waiting>): void {
  const failAll = (error: Error): void => {
    for (const { reject } of waiting.values()) reject(error)
  }
  worker.on('error', failAll)
  worker.on('exit', () => failAll(new TokenizerError({ message: 'the tokenizer was closed' })))
  worker.on('message', (answer: Answer) => {
    const caller = waiting.get(answer.id)
    if (caller === undefined) return // aborted meanwhile
    if ('error' in answer) {
      caller.reject(new TokenizerError({ message: answer.error }))
      return
    }
    const { ids, ends, truncated } = answer
    const cuts = Array.from(ends, (end, i) => ids.subarray(i === 0 ? 0 : ends[i - 1], end))
    caller.resolve({ ids: cuts, truncated })
  })
}
