import { parentPort, workerData } from 'node:worker_threads'
import { TokenizerError } from '../../errors.js'
import { readJsonFile } from './index.js'
import type { ReaderAnswer } from './read-apart.js'

/** The thread of readApart(): reads one tokenizer.json, hands it over and ends. */
const post = (message: ReaderAnswer, transfer: ArrayBuffer[] = []): void =>
  parentPort!.postMessage(message, transfer)

try {
  const read = await readJsonFile(workerData as string)
  const arrays =
    'pieces' in read ? [read.pieces.units, read.pieces.ends, read.pieces.scores, read.pieces.slots] : []
  post(
    { read },
    arrays.map(({ buffer }) => buffer),
  )
} catch (error) {
  if (!(error instanceof TokenizerError)) throw error
  post({ failed: error.detail })
}
