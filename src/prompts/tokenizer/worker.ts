import { parentPort, workerData } from 'node:worker_threads'
import { TokenizerError } from '../../errors.js'
import { openTokenizer, tokenizeAll, type Tokenizer } from './index.js'
import type { Answer, Cancel, Job, Opened } from './thread.js'

/** The thread of a TokenizerThread: opens the tokenizer at workerData, then answers until it is terminated. */
const port = parentPort!
const post = (message: Opened | Answer, transfer: ArrayBuffer[] = []): void =>
  port.postMessage(message, transfer)

const running = new Map<number, AbortController>()

async function answer(tokenizer: Tokenizer, { id, prompts, maxTokens }: Job): Promise<void> {
  const cancelled = new AbortController()
  running.set(id, cancelled)
  try {
    const tokenized = await tokenizeAll(tokenizer, prompts, maxTokens, cancelled.signal)
    let end = 0
    const ends = Int32Array.from(tokenized.ids, ({ length }) => (end += length))
    const ids = new Int32Array(end)
    for (const [i, prompt] of tokenized.ids.entries()) ids.set(prompt, ends[i]! - prompt.length)
    post({ id, ids, ends, truncated: tokenized.truncated }, [ids.buffer, ends.buffer])
  } catch (error) {
    // nobody waits for a cancelled one
    if (!cancelled.signal.aborted) post({ id, error: String(error) })
  } finally {
    running.delete(id)
  }
}

try {
  const tokenizer = await openTokenizer(workerData as string)
  port.on('message', (request: Job | Cancel) => {
    if ('cancel' in request) running.get(request.cancel)?.abort()
    else void answer(tokenizer, request)
  })
  const { padId, eosId, vocab, file } = tokenizer
  post({ facts: { padId, eosId, vocab, file } })
} catch (error) {
  if (!(error instanceof TokenizerError)) throw error
  post({ failed: error.detail })
}
