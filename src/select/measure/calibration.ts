import type { Checkpoint } from '../../checkpoint/types.js'
import { packEmbeds, packMatrix, packTokens, type Matrix, type PackedBatch } from '../../prompts/batch.js'
import { inTurns } from '../../io/turns.js'
import { InputError } from '../../errors.js'
import { familyOf } from '../../families/index.js'
import { maskOf, placedAt, positionRules } from '../../prompts/positions.js'
import type { Placing } from '../../options.js'
import { microBatches } from '../../native/micro-batches.js'
import type { NativeBatch } from '../../native/addon.js'
import { pipelines } from '../../pipelines/index.js'
import { tokenizerFor } from '../../prompts/tokenizer/fits.js'
import type { TokenizerThread } from '../../prompts/tokenizer/thread.js'

/** Prompts; or ids [batch, tokens]; or rows [batch, tokens, width] in place of the embedded tokens. Mask: 1 is a real token. */
export type CalibrationInput =
  | readonly string[]
  | ({ readonly inputIds: Matrix<Int32Array> } & Placing)
  | ({ readonly inputsEmbeds: Matrix<Float32Array> } & Placing)

/** What is measured at once: a few whole prompts, packed. The calibration set is streamed chunk by chunk. */
export interface Chunk {
  readonly batch: NativeBatch
  readonly tokens: number
  /** Part of the null condition, whose mean is a term of its own in D. */
  readonly isNull: boolean
}

export interface PackOptions {
  readonly checkpoint: Checkpoint
  readonly tokenizer?: TokenizerThread | undefined
  /** Longer prompts are an error: a cut prompt is not what the user chose to calibrate on. */
  readonly maxTokens: number
  readonly signal?: AbortSignal | undefined
}

/** The calibration set, real tokens only. @throws InputError for fewer than two prompts, empty or too long ones */
export async function packCalibration(input: CalibrationInput, options: PackOptions): Promise<PackedBatch> {
  const batch = await packReal(input, 'calibration', options)
  if (batch.rows >= 2) return batch
  throw new InputError({
    field: 'calibration',
    found: batch.rows === 0 ? 'no prompt' : 'one prompt',
    expected: 'at least 2, and hundreds for a plan that generalises',
  })
}

/** The null condition; the empty prompt where none is given. */
export async function packNull(
  input: CalibrationInput | undefined,
  options: PackOptions,
): Promise<PackedBatch> {
  const { checkpoint, tokenizer } = options
  const { architecture } = checkpoint
  if (input !== undefined) return packReal(input, 'null condition', options)
  if (architecture.input.vocab === 0) {
    throw new InputError({
      field: 'null condition',
      found: 'none, and a model without token embedding, which cannot take the empty prompt',
      expected: 'its inputs_embeds',
      hint: 'Give them as `null` (CLI: --null FILE)',
    })
  }
  const ids = Int32Array.from(familyOf(architecture).emptyPrompt(checkpoint.eosId ?? tokenizer?.eosId))
  return packReal({ inputIds: { data: ids, shape: [1, ids.length] } }, 'null condition', options)
}

async function packReal(
  input: CalibrationInput,
  field: string,
  { checkpoint, tokenizer, maxTokens, signal }: PackOptions,
): Promise<PackedBatch> {
  const { architecture } = checkpoint
  const placed = placedAt('length' in input ? undefined : input.positionIds, positionRules(architecture))
  let batch: PackedBatch
  if ('inputIds' in input) {
    const options = { masked: 'zero', vocab: architecture.input.vocab } as const
    const mask = maskOf(input.attentionMask, input.inputIds.data, architecture.input.masked)
    batch = await inTurns(packMatrix(input.inputIds, mask, options), signal)
  } else if ('inputsEmbeds' in input) {
    const options = { masked: 'zero', width: architecture.width } as const
    batch = await inTurns(packEmbeds(input.inputsEmbeds, input.attentionMask, options), signal)
  } else {
    if (input.length === 0) throw new InputError({ field, found: 'no prompt', expected: 'at least one' })
    batch = await packPrompts(
      input,
      field,
      tokenizerFor(checkpoint, tokenizer),
      maxTokens,
      architecture.input.vocab,
      signal,
    )
  }
  batch = await placed(batch, signal)
  const sequences = batch.starts.length - 1
  if (sequences < batch.rows) {
    const found = `${batch.rows - sequences} rows whose tokens are all masked`
    throw new InputError({ field, found, expected: 'at least one real token in each' })
  }
  return batch
}

async function packPrompts(
  prompts: readonly string[],
  field: string,
  tokenizer: TokenizerThread,
  maxTokens: number,
  vocab: number,
  signal: AbortSignal | undefined,
): Promise<PackedBatch> {
  const { ids, truncated } = await tokenizer.tokenize(prompts, maxTokens, signal)
  const long = truncated.indexOf(true)
  if (long >= 0) {
    throw new InputError({
      field: `${field}[${long}]`,
      found: `a prompt of more than ${maxTokens} tokens`,
      expected: `at most ${maxTokens}`,
      hint: 'Shorten it, or raise maxTokens (CLI: --max-tokens)',
    })
  }
  const pipeline = { ...pipelines.none, maxTokens }
  return await inTurns(packTokens(ids, { pipeline, padId: tokenizer.padId, vocab }), signal)
}

/**
 * The batch in chunks of at most `maxTokens`, a longer prompt alone in its own. Default: a 32nd of the set, so that a bad
 * candidate is given up early, and at most 256 tokens.
 */
export function chunksOf(batch: PackedBatch, width: number, isNull: boolean, maxTokens?: number): Chunk[] {
  const total = batch.starts.at(-1)!
  const limit = maxTokens ?? Math.min(256, Math.ceil(total / 32))
  const chunks: Chunk[] = []
  for (const { batch: part, first, end } of microBatches(batch, width, limit)) {
    chunks.push({ batch: part, tokens: end - first, isNull })
  }
  return chunks
}
