import { TokenizerError } from '../../errors.js'
import { unlessAborted } from '../../io/abort.js'
import { checkPrompts, type Tokenized } from './index.js'
import { SharedTokenizer, type TokenizerFacts } from './shared.js'

/** Tokenizers that were collected without close(). */
const forgotten = new FinalizationRegistry<SharedTokenizer>((shared) => void shared.release())

/**
 * One encoder's tokenizer, on a thread: opening one takes 100 ms and a long prompt 10, which an event loop must not wait for.
 * Encoders share the thread of a file. It keeps the process alive only while somebody waits for it, rests after a minute without
 * calls, and is ended where it does not answer: at once after an abort, else after 10 s in one step.
 */
export class TokenizerThread implements TokenizerFacts {
  readonly before: readonly number[]
  readonly after: readonly number[]
  readonly padId: number
  readonly padSide: 'left' | 'right'
  readonly eosId: number | undefined
  readonly maxLength: number | undefined
  readonly vocab: number
  readonly file: string
  readonly #shared: SharedTokenizer
  readonly #closing = new AbortController()

  private constructor(shared: SharedTokenizer, facts: TokenizerFacts) {
    this.before = facts.before
    this.after = facts.after
    this.padId = facts.padId
    this.padSide = facts.padSide
    this.eosId = facts.eosId
    this.maxLength = facts.maxLength
    this.vocab = facts.vocab
    this.file = facts.file
    this.#shared = shared
    forgotten.register(this, shared, this)
  }

  /** @param path as openTokenizer takes it. @throws TokenizerError, the signal's reason */
  static async open(path: string, signal?: AbortSignal): Promise<TokenizerThread> {
    signal?.throwIfAborted()
    const shared = await SharedTokenizer.acquire(path)
    try {
      return new TokenizerThread(shared, await unlessAborted(shared.facts(), signal))
    } catch (error) {
      await shared.release()
      throw error
    }
  }

  /** Bytes the thread holds, the same for all that share it; 0 once closed, or while the thread rests. */
  get memory(): number {
    return this.#closing.signal.aborted ? 0 : this.#shared.memory
  }

  /**
   * @param bare without the special ids around each prompt
   * @returns per prompt at most `maxTokens` ids, the special ones around them also where it was cut
   * @throws InputError for prompts that are no strings, too many or too long, or `maxTokens` below 1; TokenizerError; the signal's
   * reason, at once
   */
  async tokenize(
    prompts: readonly string[],
    maxTokens: number,
    signal?: AbortSignal,
    bare = false,
  ): Promise<Tokenized> {
    signal?.throwIfAborted()
    this.#closing.signal.throwIfAborted()
    checkPrompts(prompts, maxTokens)
    let id = 0
    const work = new Promise<Tokenized>((resolve, reject) => {
      id = this.#shared.call({ prompts, maxTokens, bare, resolve, reject })
    })
    try {
      return await unlessAborted(unlessAborted(work, signal), this.#closing.signal)
    } finally {
      this.#shared.abort(id) // no longer there where it was answered
    }
  }

  /** Ends this user's calls, and the thread where no other encoder uses it. */
  async close(): Promise<void> {
    if (this.#closing.signal.aborted) return
    forgotten.unregister(this)
    this.#closing.abort(new TokenizerError({ file: this.file, message: 'the tokenizer was closed' }))
    await this.#shared.release()
  }
}
