import { InputError } from '../errors.js'
import type { Pipeline } from '../pipelines/index.js'
import type { PackedBatch } from './batch.js'

/** Tokens of one call, pads included: 8,192 prompts of 512. */
export const MAX_CALL_TOKENS = 1 << 22

/** Tokens of one row: attention is quadratic in it. The binding checks it again (binding/limits.h). */
export const MAX_ROW_TOKENS = 1 << 16

/** Numbers looked at in one step, which takes a fraction of a millisecond. */
export const STEP = 1 << 14

export type Layout = Omit<PackedBatch, 'ids' | 'embeds' | 'attentionMask'>

/** hidden: computed, but no other token attends to it */
export type Presence = 'visible' | 'hidden' | 'absent'

/** @throws InputError for more than MAX_ROW_TOKENS in a row or MAX_CALL_TOKENS in all */
export function checkTokens(rows: number, tokens: number): void {
  if (tokens > MAX_ROW_TOKENS) {
    const expected = `at most ${MAX_ROW_TOKENS}`
    throw new InputError({ field: 'batch', found: `rows of ${tokens} tokens`, expected })
  }
  if (rows * tokens <= MAX_CALL_TOKENS) return
  throw new InputError({
    field: 'batch',
    found: `${rows} x ${tokens} tokens`,
    expected: `at most ${MAX_CALL_TOKENS} in one call`,
  })
}

/** Where each token of [rows, tokens] goes, in steps. @throws InputError for more than MAX_CALL_TOKENS */
export function* layOut(
  rows: number,
  tokens: number,
  presence: (row: number, t: number) => Presence,
): Generator<undefined, Layout> {
  checkTokens(rows, tokens)
  const total = rows * tokens
  const starts = new Int32Array(rows + 1)
  const indices = new Int32Array(total)
  const visible = new Uint8Array(total)
  const outputRows = new Int32Array(total)
  let sequences = 0
  let packed = 0
  for (let row = 0; row < rows; row++) {
    for (let t = 0; t < tokens; t++) {
      const o = row * tokens + t
      if (o % STEP === STEP - 1) yield
      const is = presence(row, t)
      if (is === 'absent') continue
      indices[packed] = t
      visible[packed] = is === 'visible' ? 1 : 0
      outputRows[packed++] = o
    }
    if (packed > starts[sequences]!) starts[++sequences] = packed
  }
  return {
    rows,
    tokens,
    starts: starts.subarray(0, sequences + 1),
    indices: indices.subarray(0, packed),
    visible: visible.subarray(0, packed),
    outputRows: outputRows.subarray(0, packed),
  }
}

/** Rows of these lengths, padded as the pipeline pads, and the mask it hands on. */
export function* layOutPadded(
  lengths: Int32Array,
  pipeline: Pipeline,
): Generator<undefined, { layout: Layout; attentionMask: Int32Array }> {
  const longest = lengths.reduce((n, length) => Math.max(n, length), 0)
  const tokens = pipeline.paddedTo === 'max' ? pipeline.maxTokens : longest
  const kept = (row: number): number => Math.min(tokens, lengths[row]! + pipeline.padsKept)
  const layout = yield* layOut(lengths.length, tokens, (row, t) => {
    if (t < lengths[row]! || pipeline.attendToPads) return 'visible'
    return t < kept(row) ? 'hidden' : 'absent'
  })
  const attentionMask = new Int32Array(lengths.length * tokens)
  for (let row = 0; row < lengths.length; row++) {
    const ones = pipeline.maskReturned ? kept(row) : tokens
    attentionMask.fill(1, row * tokens, row * tokens + ones)
    if (row % STEP === STEP - 1) yield
  }
  return { layout, attentionMask }
}
