import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { CheckpointError, SkrrError, type ErrorCode, type ErrorDetail } from '../errors.js'
import { onAbort } from '../io/abort.js'
import { installedFile } from '../io/installed.js'
import type { Checkpoint } from './types.js'

/** To the thread (worker.ts). */
export interface Opening {
  readonly path: string
  readonly textEncoder: string | undefined
}
/** From the thread. */
export type Opened = { checkpoint: Checkpoint } | { failed: ErrorDetail; code?: ErrorCode }

// The same file from src/ (tests) and from dist/: a thread needs JavaScript.
const workerFile = (): string => installedFile('dist', 'checkpoint', 'worker.js')

/** 8 MB of header make up to 140,000 tensors, and those about 100 MB. */
const MAX_HEAP_MB = 256

/**
 * Reads a checkpoint on a thread of its own: 8 MB of JSON take seconds, which an event loop must not wait for.
 * @throws CheckpointError; the signal's reason, at once
 */
export async function readOnThread(opening: Opening, signal?: AbortSignal): Promise<Checkpoint> {
  signal?.throwIfAborted()
  const worker = new Worker(workerFile(), {
    workerData: opening,
    resourceLimits: { maxOldGenerationSizeMb: MAX_HEAP_MB },
  })
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

const isOutOfMemory = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
