import { InputError } from '../errors.js'
import type { Pipeline } from '../pipelines/index.js'

/**
 * Prompts of unequal length one after the other, without padding, as the engine takes them (engine/batch.h). Masked pads are left
 * out; their rows of the result stay zero.
 */
export interface PackedBatch {
  /** Shape of the result: [rows, tokens, width]. */
  readonly rows: number
  readonly tokens: number
  /** [sequences + 1] offsets into the packed tokens; a row without computed tokens is no sequence. */
  readonly starts: Int32Array
  /** [packed]; or else embeds [packed, width] */
  readonly ids?: Int32Array
  readonly embeds?: Float32Array
  /** [packed] index of the token in its row; relative positions come from it. */
  readonly positions: Int32Array
  /** [packed] 1 where others attend to the token. In a sequence with none, all attend uniformly to all. */
  readonly visible: Uint8Array
  /** [packed] row of the [rows x tokens, width] result that the token is written to. */
  readonly outputRows: Int32Array
  /** [rows x tokens] as the pipeline hands it to its denoiser. */
  readonly attentionMask: Int32Array
}

/** Row-major [batch, tokens] ids or [batch, tokens, width] embeddings. */
export interface Matrix<T> {
  readonly data: T
  readonly shape: readonly number[]
}

/** Tokens of one call, pads included: 8,192 prompts of 512, laid out in a fraction of a second. */
export const MAX_CALL_TOKENS = 1 << 22

/** Rows of masked tokens: computed, as Hugging Face returns them, or left out and zero. */
export type Masked = 'compute' | 'zero'

/**
 * Tokenised prompts, padded as the pipeline pads.
 * @param ids per prompt 1 to `pipeline.maxTokens` ids, each below `vocab`
 */
export function packTokens(
  ids: readonly Int32Array[],
  pipeline: Pipeline,
  padId: number,
  vocab: number,
): PackedBatch {
  if (ids.length === 0) throw new InputError({ field: 'prompts', found: 'none', expected: 'at least one' })
  for (const [row, prompt] of ids.entries()) checkPrompt(prompt, row, pipeline.maxTokens, vocab)
  if (padId < 0 || padId >= vocab) {
    throw new InputError({ field: 'pad id', found: String(padId), expected: `an id of 0 to ${vocab - 1}` })
  }
  const longest = ids.reduce((n, prompt) => Math.max(n, prompt.length), 0)
  const tokens = pipeline.paddedTo === 'max' ? pipeline.maxTokens : longest
  const lengths = ids.map((prompt) => prompt.length)
  const kept = lengths.map((n) => Math.min(tokens, n + pipeline.padsKept))
  const layout = layOut(ids.length, tokens, (row, t) => {
    if (t < lengths[row]! || pipeline.attendToPads) return 'visible'
    return t < kept[row]! ? 'hidden' : 'absent'
  })
  const attentionMask = new Int32Array(ids.length * tokens)
  for (const [row, n] of kept.entries()) {
    attentionMask.fill(1, row * tokens, pipeline.maskReturned ? row * tokens + n : (row + 1) * tokens)
  }
  const packed = layout.outputRows.map((o) => ids[Math.floor(o / tokens)]![o % tokens] ?? padId)
  return { ...layout, ids: packed, attentionMask }
}

/**
 * Token ids [batch, tokens] with any mask of zeros and ones, holes and left padding included: positions stay the
 * index in the row. Without a mask every token is visible.
 */
export function packMatrix(
  inputIds: Matrix<Int32Array>,
  mask: Int32Array | undefined,
  { masked, vocab }: { masked: Masked; vocab: number },
): PackedBatch {
  const [rows, tokens] = checkShape('inputIds', inputIds, ['batch', 'tokens'])
  checkIds(inputIds.data, tokens, vocab, 'inputIds')
  const { layout, attentionMask } = layOutMasked(rows, tokens, mask, masked)
  return { ...layout, ids: layout.outputRows.map((o) => inputIds.data[o]!), attentionMask }
}

/** Embeddings [batch, tokens, width] in place of ids, finite; otherwise as packMatrix. */
export function packEmbeds(
  inputsEmbeds: Matrix<Float32Array>,
  mask: Int32Array | undefined,
  { masked, width }: { masked: Masked; width: number },
): PackedBatch {
  const [rows, tokens, found] = checkShape('inputsEmbeds', inputsEmbeds, ['batch', 'tokens', 'width'])
  if (found !== width) {
    throw new InputError({
      field: 'inputsEmbeds',
      found: `width ${found}`,
      expected: `${width}, the width of the model`,
    })
  }
  const { layout, attentionMask } = layOutMasked(rows, tokens, mask, masked)
  const { outputRows } = layout
  const embeds = new Float32Array(outputRows.length * width)
  for (const [packed, o] of outputRows.entries()) {
    const row = inputsEmbeds.data.subarray(o * width, (o + 1) * width)
    const bad = row.findIndex((x) => !Number.isFinite(x))
    if (bad >= 0) {
      const field = `inputsEmbeds[${Math.floor(o / tokens)}, ${o % tokens}, ${bad}]`
      throw new InputError({ field, found: String(row[bad]), expected: 'a finite number' })
    }
    embeds.set(row, packed * width)
  }
  return { ...layout, embeds, attentionMask }
}

/**
 * Whole sequences in micro-batches of at most `maxTokens` packed tokens; a longer sequence goes alone.
 * @returns ranges [from, to) of sequences, in order
 */
export function splitBatch(batch: PackedBatch, maxTokens: number): { from: number; to: number }[] {
  const { starts } = batch
  const ranges: { from: number; to: number }[] = []
  let from = 0
  for (let to = 1; to < starts.length; to++) {
    const isLast = to === starts.length - 1
    if (!isLast && starts[to + 1]! - starts[from]! <= maxTokens) continue
    ranges.push({ from, to })
    from = to
  }
  return ranges
}

type Layout = Omit<PackedBatch, 'ids' | 'embeds' | 'attentionMask'>
/** hidden: computed, but no other token attends to it */
type Presence = 'visible' | 'hidden' | 'absent'

function layOut(rows: number, tokens: number, presence: (row: number, t: number) => Presence): Layout {
  if (rows * tokens > MAX_CALL_TOKENS) {
    throw new InputError({
      field: 'batch',
      found: `${rows} x ${tokens} tokens`,
      expected: `at most ${MAX_CALL_TOKENS} in one call`,
    })
  }
  const starts = [0]
  const visible: number[] = []
  const outputRows: number[] = []
  for (let row = 0; row < rows; row++) {
    for (let t = 0; t < tokens; t++) {
      const is = presence(row, t)
      if (is === 'absent') continue
      visible.push(is === 'visible' ? 1 : 0)
      outputRows.push(row * tokens + t)
    }
    if (outputRows.length > starts.at(-1)!) starts.push(outputRows.length)
  }
  return {
    rows,
    tokens,
    starts: Int32Array.from(starts),
    positions: Int32Array.from(outputRows, (o) => o % tokens),
    visible: Uint8Array.from(visible),
    outputRows: Int32Array.from(outputRows),
  }
}

function layOutMasked(
  rows: number,
  tokens: number,
  mask: Int32Array | undefined,
  masked: Masked,
): { layout: Layout; attentionMask: Int32Array } {
  const attentionMask = mask?.slice() ?? new Int32Array(rows * tokens).fill(1)
  if (attentionMask.length !== rows * tokens) {
    throw new InputError({
      field: 'attentionMask',
      found: `${attentionMask.length} entries`,
      expected: `${rows * tokens}, one for each of ${rows} x ${tokens} tokens`,
    })
  }
  const bad = attentionMask.findIndex((m) => m !== 0 && m !== 1)
  if (bad >= 0) {
    const field = `attentionMask[${Math.floor(bad / tokens)}, ${bad % tokens}]`
    throw new InputError({ field, found: String(attentionMask[bad]), expected: '0 or 1' })
  }
  const off = masked === 'compute' ? 'hidden' : 'absent'
  const layout = layOut(rows, tokens, (row, t) => (attentionMask[row * tokens + t] === 1 ? 'visible' : off))
  return { layout, attentionMask }
}

function checkShape<const N extends readonly string[]>(
  field: string,
  { data, shape }: Matrix<ArrayLike<number>>,
  names: N,
): { -readonly [K in keyof N]: number } {
  const found = `shape [${shape.join(', ')}]`
  const sizes = shape.length === names.length && shape.every((n) => Number.isSafeInteger(n) && n > 0)
  if (!sizes) throw new InputError({ field, found, expected: `[${names.join(', ')}], each at least 1` })
  const elements = shape.reduce((product, n) => product * n, 1)
  if (data.length !== elements) {
    throw new InputError({ field, found: `${data.length} numbers in ${found}`, expected: String(elements) })
  }
  return shape as unknown as { -readonly [K in keyof N]: number }
}

function checkPrompt(ids: Int32Array, row: number, maxTokens: number, vocab: number): void {
  if (ids.length < 1 || ids.length > maxTokens) {
    const expected = `1 to ${maxTokens} of the pipeline`
    throw new InputError({ field: `prompts[${row}]`, found: `${ids.length} tokens`, expected })
  }
  const bad = ids.findIndex((id) => id < 0 || id >= vocab)
  if (bad >= 0) throw outOfVocabulary(`prompts[${row}]: token ${bad}`, ids[bad]!, vocab)
}

function checkIds(ids: Int32Array, tokens: number, vocab: number, field: string): void {
  const bad = ids.findIndex((id) => id < 0 || id >= vocab)
  if (bad >= 0)
    throw outOfVocabulary(`${field}[${Math.floor(bad / tokens)}, ${bad % tokens}]`, ids[bad]!, vocab)
}

function outOfVocabulary(field: string, id: number, vocab: number): InputError {
  const expected = vocab > 0 ? `0 to ${vocab - 1}` : 'inputsEmbeds: the model has no token embedding'
  return new InputError({ field, found: `id ${id}`, expected })
}
