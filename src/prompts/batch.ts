import { InputError } from '../errors.js'
import type { Pipeline } from '../pipelines/index.js'
import { checkTokens, layOut, layOutPadded, MAX_CALL_TOKENS, STEP, type Layout } from './layout.js'

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
  /** [packed] index of the token in its row, absent pads included; distances count these. */
  readonly indices: Int32Array
  /** [packed] what rotations and position tables count; the indices where absent */
  readonly positions?: Int32Array
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

/** Rows of masked tokens: computed, as Hugging Face returns them, or left out and zero. */
export type Masked = 'compute' | 'zero'

/**
 * A batch being packed: millions of numbers, in steps short enough for the event loop (io/turns.ts). The arrays given are read
 * until the last step.
 */
export type Packing = Generator<undefined, PackedBatch>

export interface PaddingOptions {
  readonly pipeline: Pipeline
  readonly padId: number
  readonly vocab: number
}

/**
 * Tokenised prompts, padded as the pipeline pads.
 * @param ids per prompt 1 to `pipeline.maxTokens` ids, each below `vocab`
 */
export function packTokens(ids: readonly Int32Array[], options: PaddingOptions): Packing {
  if (ids.length === 0) throw new InputError({ field: 'prompts', found: 'none', expected: 'at least one' })
  const lengths = Int32Array.from(ids, (prompt) => prompt.length)
  return packRows('prompts', lengths, (row, t) => ids[row]![t]!, options)
}

/** @param at the id of a token; `field` is what messages call the rows */
function* packRows(
  field: string,
  lengths: Int32Array,
  at: (row: number, t: number) => number,
  { pipeline, padId, vocab }: PaddingOptions,
): Packing {
  let seen = 0
  for (let row = 0; row < lengths.length; row++) {
    checkLength(lengths[row]!, field, row, pipeline.maxTokens)
    for (let t = 0; t < lengths[row]!; t++) {
      const id = at(row, t)
      if (id < 0 || id >= vocab) throw outOfVocabulary(`${field}[${row}]: token ${t}`, id, vocab)
      if (++seen % STEP === 0) yield
    }
  }
  if (padId < 0 || padId >= vocab) {
    throw new InputError({ field: 'pad id', found: String(padId), expected: `an id of 0 to ${vocab - 1}` })
  }
  const { layout, attentionMask } = yield* layOutPadded(lengths, pipeline)
  const packed = new Int32Array(layout.outputRows.length)
  for (let i = 0; i < packed.length; i++) {
    if (i % STEP === STEP - 1) yield
    const row = Math.floor(layout.outputRows[i]! / layout.tokens)
    const t = layout.indices[i]!
    packed[i] = t < lengths[row]! ? at(row, t) : padId
  }
  return { ...layout, ids: packed, attentionMask }
}

/** As many ids as a call may have are copied within a few ms. */
const MAX_COPIED = MAX_CALL_TOKENS

/**
 * The caller may write to its array or give it away while a packing waits for its turns: it is copied when the call is made. Larger ones
 * are refused later, or read in turns where they are embeddings. One that was given away before is refused too, by its length of 0.
 */
const own = <T extends Int32Array | Float32Array>(array: T): T =>
  array.length > 0 && array.length <= MAX_COPIED ? (array.slice() as T) : array

/** A packing that reads copies, made when it is called; what `pack` itself does waits for the first step. */
const ofCopies =
  <T extends Int32Array | Float32Array, O>(
    pack: (matrix: Matrix<T>, mask: Int32Array | undefined, options: O) => Packing,
  ) =>
  ({ data, shape }: Matrix<T>, mask: Int32Array | undefined, options: O): Packing =>
    pack({ data: own(data), shape }, mask && own(mask), options)

/**
 * Token ids [batch, tokens] with any mask of zeros and ones, holes and left padding included: indices stay the
 * index in the row. Without a mask every token is visible.
 */
export const packMatrix = ofCopies(function* (
  inputIds: Matrix<Int32Array>,
  mask: Int32Array | undefined,
  { masked, vocab }: { masked: Masked; vocab: number },
): Packing {
  const [rows, tokens] = checkShape('inputIds', inputIds, ['batch', 'tokens'])
  const { data } = inputIds
  for (let i = 0; i < data.length; i++) {
    if (i % STEP === STEP - 1) yield
    const id = data[i]!
    if (id >= 0 && id < vocab) continue
    throw outOfVocabulary(`inputIds[${Math.floor(i / tokens)}, ${i % tokens}]`, id, vocab)
  }
  const { layout, attentionMask } = yield* layOutMasked(rows, tokens, mask, masked)
  const packed = new Int32Array(layout.outputRows.length)
  for (let i = 0; i < packed.length; i++) {
    if (i % STEP === STEP - 1) yield
    packed[i] = data[layout.outputRows[i]!]!
  }
  return { ...layout, ids: packed, attentionMask }
})

/** Token ids [batch, tokens], padded as the pipeline pads prompts. A mask says how long each row is: ones, then zeros. */
export const packPaddedMatrix = ofCopies(function* (
  inputIds: Matrix<Int32Array>,
  mask: Int32Array | undefined,
  options: PaddingOptions,
): Packing {
  const [rows, tokens] = checkShape('inputIds', inputIds, ['batch', 'tokens'])
  const { data } = inputIds
  const lengths = yield* rowLengths(rows, tokens, mask)
  return yield* packRows('inputIds', lengths, (row, t) => data[row * tokens + t]!, options)
})

export interface EmbedsOptions {
  readonly masked: Masked
  readonly width: number
  /** Pad as it pads prompts; a mask then says how long each row is. Default: the rows are as they are. */
  readonly pipeline?: Pipeline | undefined
}

/**
 * Embeddings [batch, tokens, width] in place of ids, finite; otherwise as the ids.
 * @throws InputError also where more than MAX_COPIED numbers are transferred to another thread before they are packed
 */
export const packEmbeds = ofCopies(function* (
  inputsEmbeds: Matrix<Float32Array>,
  mask: Int32Array | undefined,
  { masked, width, pipeline }: EmbedsOptions,
): Packing {
  const [rows, tokens, found] = checkShape('inputsEmbeds', inputsEmbeds, ['batch', 'tokens', 'width'])
  if (found !== width) {
    throw new InputError({
      field: 'inputsEmbeds',
      found: `width ${found}`,
      expected: `${width}, the width of the model`,
    })
  }
  const { data } = inputsEmbeds
  const elements = data.length
  const { layout, attentionMask } =
    pipeline === undefined
      ? yield* layOutMasked(rows, tokens, mask, masked)
      : yield* layOutPaddedEmbeds(yield* rowLengths(rows, tokens, mask), pipeline)
  if (data.length !== elements) throw detached()
  const embeds = new Float32Array(layout.outputRows.length * width)
  for (let packed = 0, since = 0; packed * width < embeds.length; packed++) {
    if ((since += width) >= STEP) {
      since = 0
      yield
      if (data.length !== elements) throw detached()
    }
    const row = Math.floor(layout.outputRows[packed]! / layout.tokens)
    const from = (row * tokens + layout.indices[packed]!) * width
    for (let i = 0; i < width; i++) {
      const x = data[from + i]!
      if (!Number.isFinite(x)) {
        const field = `inputsEmbeds[${row}, ${layout.indices[packed]}, ${i}]`
        throw new InputError({ field, found: String(x), expected: 'a finite number' })
      }
      embeds[packed * width + i] = x
    }
  }
  return { ...layout, embeds, attentionMask }
})

const detached = (): InputError =>
  new InputError({
    field: 'inputsEmbeds',
    found: 'an array whose buffer went elsewhere during the call',
    expected: 'one that stays until the call has ended',
  })

/** Of embeddings nobody has the row of a pad. */
function* layOutPaddedEmbeds(
  lengths: Int32Array,
  pipeline: Pipeline,
): Generator<undefined, { layout: Layout; attentionMask: Int32Array }> {
  let given = 0
  for (let row = 0; row < lengths.length; row++) {
    checkLength(lengths[row]!, 'inputsEmbeds', row, pipeline.maxTokens)
    given += lengths[row]!
  }
  const padded = yield* layOutPadded(lengths, pipeline)
  if (padded.layout.outputRows.length === given) return padded
  throw new InputError({
    field: 'pipeline',
    found: 'one whose pads are computed, with inputsEmbeds of fewer tokens',
    expected: `rows of ${padded.layout.tokens} tokens`,
    hint: 'Add the embeddings of the pads, or pass inputIds',
  })
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

function* layOutMasked(
  rows: number,
  tokens: number,
  mask: Int32Array | undefined,
  masked: Masked,
): Generator<undefined, { layout: Layout; attentionMask: Int32Array }> {
  const attentionMask = yield* checkedMask(rows, tokens, mask)
  const off = masked === 'compute' ? 'hidden' : 'absent'
  const presence = (row: number, t: number) => (attentionMask[row * tokens + t] === 1 ? 'visible' : off)
  return { layout: yield* layOut(rows, tokens, presence), attentionMask }
}

/** How many ones each row of a mask begins with; it must have at least one and none later. */
function* rowLengths(
  rows: number,
  tokens: number,
  mask: Int32Array | undefined,
): Generator<undefined, Int32Array> {
  if (mask === undefined) return new Int32Array(rows).fill(tokens)
  const checked = yield* checkedMask(rows, tokens, mask)
  const lengths = new Int32Array(rows)
  for (let i = 0; i < checked.length; i++) {
    if (i % STEP === STEP - 1) yield
    const row = Math.floor(i / tokens)
    const t = i % tokens
    const one = checked[i] === 1
    if (one && lengths[row] === t) lengths[row]++
    else if (one || t === 0) {
      throw new InputError({
        field: `attentionMask[${row}, ${t}]`,
        found: one ? '1 after 0' : '0',
        expected: 'ones, then zeros, in a row that a pipeline pads',
      })
    }
  }
  return lengths
}

/** The mask, all ones where there is none. */
function* checkedMask(
  rows: number,
  tokens: number,
  mask: Int32Array | undefined,
): Generator<undefined, Int32Array> {
  if (mask === undefined) return new Int32Array(rows * tokens).fill(1)
  if (mask.length !== rows * tokens) {
    throw new InputError({
      field: 'attentionMask',
      found: `${mask.length} entries`,
      expected: `${rows * tokens}, one for each of ${rows} x ${tokens} tokens`,
    })
  }
  for (let i = 0; i < mask.length; i++) {
    if (i % STEP === STEP - 1) yield
    if (mask[i] === 0 || mask[i] === 1) continue
    const field = `attentionMask[${Math.floor(i / tokens)}, ${i % tokens}]`
    throw new InputError({ field, found: String(mask[i]), expected: '0 or 1' })
  }
  return mask
}

function checkShape<const N extends readonly string[]>(
  field: string,
  { data, shape }: Matrix<ArrayLike<number>>,
  names: N,
): { -readonly [K in keyof N]: number } {
  const found = `shape [${shape.join(', ')}]`
  const sizes = shape.length === names.length && shape.every((n) => Number.isSafeInteger(n) && n > 0)
  if (!sizes) throw new InputError({ field, found, expected: `[${names.join(', ')}], each at least 1` })
  checkTokens(shape[0]!, shape[1]!)
  const elements = shape.reduce((product, n) => product * n, 1)
  if (data.length !== elements) {
    throw new InputError({ field, found: `${data.length} numbers in ${found}`, expected: String(elements) })
  }
  return shape as unknown as { -readonly [K in keyof N]: number }
}

function checkLength(tokens: number, field: string, row: number, maxTokens: number): void {
  if (tokens >= 1 && tokens <= maxTokens) return
  const expected = `1 to ${maxTokens} of the pipeline`
  throw new InputError({ field: `${field}[${row}]`, found: `${tokens} tokens`, expected })
}

function outOfVocabulary(field: string, id: number, vocab: number): InputError {
  const expected = vocab > 0 ? `0 to ${vocab - 1}` : 'inputsEmbeds: the model has no token embedding'
  return new InputError({ field, found: `id ${id}`, expected })
}
