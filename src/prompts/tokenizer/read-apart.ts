import { once } from 'node:events'
import { TokenizerError, type ErrorDetail } from '../../errors.js'
import { startWorker } from '../../io/worker.js'
import type { TokenizerJson } from './huggingface.js'

/** UMT5's vocabulary takes some 150 MB while it is read, Gemma 3's some 500. */
export const MAX_HEAP_MB = 1024

export type ReaderAnswer = { read: TokenizerJson } | { failed: ErrorDetail }

/**
 * Reads a tokenizer.json on a thread that ends with it. Parsing UMT5's takes 150 MB of objects; the heap of a thread that stays would
 * keep their pages.
 * @throws TokenizerError; ERR_ENGINE where no thread can be started; ERR_WORKER_OUT_OF_MEMORY
 */
export async function readApart(path: string): Promise<TokenizerJson> {
  const reader = startWorker(['prompts', 'tokenizer', 'reader.js'], path, MAX_HEAP_MB)
  const [answer] = (await once(reader, 'message')) as [ReaderAnswer]
  await reader.terminate()
  if ('failed' in answer) throw new TokenizerError(answer.failed)
  return answer.read
}
