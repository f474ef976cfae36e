import { parentPort, workerData } from 'node:worker_threads'
import { CheckpointError, SkrrError } from '../errors.js'
import { JsonBudget, MAX_JSON_BYTES } from './budget.js'
import { readCheckpoint } from './open.js'
import type { Opened, Opening } from './thread.js'

/** Reads one checkpoint with large headers or a large index, and ends. */
const { path, textEncoder } = workerData as Opening
const post = (message: Opened): void => parentPort!.postMessage(message)
try {
  post({ checkpoint: await readCheckpoint(path, textEncoder, JsonBudget.atMost(MAX_JSON_BYTES)) })
} catch (error) {
  if (error instanceof CheckpointError) post({ failed: error.detail })
  else if (error instanceof SkrrError) post({ failed: error.detail, code: error.code })
  else throw error
}
