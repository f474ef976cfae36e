import { splitBatch, type PackedBatch } from '../prompts/batch.js'
import { MICRO_BATCH_TOKENS } from './estimate.js'
import type { NativeBatch } from './addon.js'

/** The packed tokens [first, end) of a batch. */
export interface MicroBatch {
  readonly batch: NativeBatch
  readonly first: number
  readonly end: number
}

/**
 * The batch in parts of whole sequences, each small enough for the engine's workspace. Parts are views where they can be.
 */
export function* microBatches(
  batch: PackedBatch,
  width: number,
  maxTokens = MICRO_BATCH_TOKENS,
): Generator<MicroBatch> {
  for (const { from, to } of splitBatch(batch, maxTokens)) {
    const first = batch.starts[from]!
    const end = batch.starts[to]!
    yield {
      batch: {
        starts: batch.starts.subarray(from, to + 1).map((start) => start - first),
        indices: batch.indices.subarray(first, end),
        positions: batch.positions?.subarray(first, end),
        visible: batch.visible.subarray(first, end),
        ids: batch.ids?.subarray(first, end),
        embeds: batch.embeds?.subarray(first * width, end * width),
      },
      first,
      end,
    }
  }
}
