import { once } from 'node:events'
import { CheckpointError, SkrrError, type ErrorCode, type ErrorDetail } from '../errors.js'
import { onAbort } from '../io/abort.js'
import { isOutOfMemory, startWorker } from '../io/worker.js'
import type { Checkpoint } from './types.js'

/** To the thread (worker.ts). */
export interface Opening {
  readonly path: string
  readonly textEncoder: string | undefined
}
/** From the thread. */
export type Opened = { checkpoint: Checkpoint } | { failed: ErrorDetail; code?: ErrorCode }

/** 8 MB of header make up to 140,000 tensors, and those about 100 MB. */
const MAX_HEAP_MB = 256

/**
 * Reads a checkpoint on a thread of its own: 8 MB of JSON take seconds, which an event loop must not wait for.
 * @throws CheckpointError; ERR_ENGINE where no thread can be started; the signal's reason, at once
 */
export async function readOnThread(opening: Opening, signal?: AbortSignal): Promise<Checkpoint> {
  signal?.throwIfAborted()
  const worker = startWorker(['checkpoint', 'worker.js'], opening, MAX_HEAP_MB)
  const ended = new AbortController()
  const stop = signal && onAbort(signal, () => ended.abort())
  try {
    const [opened] = (await once(worker, 'message', { signal: ended.signal })) as [Opened]
    if ('checkpoint' in opened) return opened.checkpoint
    throw opened.code === undefined
      ? new CheckpointError(opened.failed)
      : new SkrrError(opened.code, opened.failed)
  } catch (error) {
    if (signal?.aborted) throw signal.reason
    if (!isOutOfMemory(error)) throw error
    const found = `headers or an index that take more than ${MAX_HEAP_MB} MB to read`
    throw new CheckpointError({ file: opening.path, found, expected: 'those of a model' }, { cause: error })
  } finally {
    stop?.()
    await worker.terminate()
  }
}
