import { Worker } from 'node:worker_threads'
import { SkrrError } from '../errors.js'
import { installedFile } from './installed.js'

/**
 * Starts a thread whose heap is bounded: what it reads may be hostile. From src/ (tests) and from dist/ it runs the same file, as a
 * thread needs JavaScript.
 * @param path below dist/
 * @throws SkrrError ERR_ENGINE where the system has no thread for it; ERR_DEVICE from a bundle
 */
export function startWorker(path: readonly string[], workerData: unknown, maxHeapMb: number): Worker {
  const file = installedFile('dist', ...path)
  try {
    return new Worker(file, { workerData, resourceLimits: { maxOldGenerationSizeMb: maxHeapMb } })
  } catch (cause) {
    throw new SkrrError(
      'ERR_ENGINE',
      {
        message: 'a thread cannot be started',
        hint: 'Raise the limit of threads (ulimit -u, the pids of a container)',
      },
      { cause },
    )
  }
}

/** Whether a thread ended because its heap was full. */
export const isOutOfMemory = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY'
