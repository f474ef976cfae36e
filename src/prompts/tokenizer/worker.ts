import { parentPort, workerData } from 'node:worker_threads'
import { TokenizerError } from '../../errors.js'
import { openTokenizerFile, tokenizeAll, type Tokenizer } from './index.js'
import { memoryOfThread } from './memory.js'
import { readApart } from './read-apart.js'
import { PROGRESS, type Answer, type Cancel, type Job, type Opened, type Start } from './shared.js'

/** The thread of a SharedTokenizer: opens the tokenizer, then answers until it is terminated. */
const port = parentPort!
const { file: path, progress } = workerData as Start
const post = (message: Opened | Answer, transfer: ArrayBuffer[] = []): void =>
  port.postMessage(message, transfer)

/** Says before each step of a call that it is that call's: a step that never ends cannot say so itself. */
function* reported<T>(id: number, steps: Generator<undefined, T>): Generator<undefined, T> {
  for (;;) {
    Atomics.store(progress, PROGRESS.call, id)
    Atomics.add(progress, PROGRESS.steps, 1)
    const step = steps.next()
    Atomics.store(progress, PROGRESS.call, 0)
    if (step.done) return step.value
    yield
  }
}

const running = new Map<number, AbortController>()

async function answer(tokenizer: Tokenizer, { id, prompts, maxTokens, bare }: Job): Promise<void> {
  const cancelled = new AbortController()
  running.set(id, cancelled)
  try {
    const encodeSteps: Tokenizer['encodeSteps'] = (text, max) =>
      reported(id, tokenizer.encodeSteps(text, max, bare))
    const steps = { encodeSteps, after: bare ? [] : tokenizer.after }
    const tokenized = await tokenizeAll(steps, prompts, maxTokens, cancelled.signal)
    let end = 0
    const ends = Int32Array.from(tokenized.ids, ({ length }) => (end += length))
    const ids = new Int32Array(end)
    for (const [i, prompt] of tokenized.ids.entries()) ids.set(prompt, ends[i]! - prompt.length)
    const memory = memoryOfThread()
    post({ id, memory, ids, ends, truncated: tokenized.truncated }, [ids.buffer, ends.buffer])
  } catch (error) {
    // nobody waits for a cancelled one
    if (!cancelled.signal.aborted) post({ id, memory: memoryOfThread(), error: String(error) })
  } finally {
    running.delete(id)
  }
}

try {
  const tokenizer = await openTokenizerFile(path, readApart)
  port.on('message', (request: Job | Cancel) => {
    if ('cancel' in request) running.get(request.cancel)?.abort()
    else void answer(tokenizer, request)
  })
  const { before, after, padId, padSide, eosId, maxLength, vocab, file } = tokenizer
  const facts = { before, after, padId, padSide, eosId, maxLength, vocab, file }
  post({ facts, memory: memoryOfThread() })
} catch (error) {
  if (!(error instanceof TokenizerError)) throw error
  post({ failed: error.detail })
}
