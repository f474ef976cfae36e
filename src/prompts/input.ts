import { InputError, TokenizerError } from '../errors.js'
import { inTurns } from '../io/turns.js'
import type { EncodeOptions, EncoderInput } from '../options.js'
import { preparePrompt, resolvePipeline, type Pipeline } from '../pipelines/index.js'
import { packEmbeds, packMatrix, packPaddedMatrix, packTokens, type PackedBatch } from './batch.js'
import { maskOf, placedAt, type PositionRules } from './positions.js'
import type { TokenizerThread } from './tokenizer/thread.js'

/** What packing needs to know of the encoder. */
export interface PackingModel {
  readonly vocab: number
  readonly width: number
  /** Of ids that a pipeline pads. */
  readonly padId: number
  readonly positions: PositionRules
  /** The id of tokens that are masked where a call gives no mask. */
  readonly masked?: number | undefined
  /** @throws TokenizerError where there is none */
  tokenizer(): TokenizerThread
}

export interface PackedInput {
  readonly batch: PackedBatch
  /** Per prompt, whether tokens were dropped. */
  readonly truncated: readonly boolean[]
}

type Prompts = string | readonly string[]
type Matrices = Exclude<EncoderInput, Prompts>

/** What a call encodes, as rows that the engine takes. @throws InputError; TokenizerError; the signal's reason */
export async function packInput(
  input: EncoderInput,
  options: EncodeOptions,
  model: PackingModel,
): Promise<PackedInput> {
  if (typeof input === 'string') return await packPrompts([input], options, model)
  if (!('inputIds' in input || 'inputsEmbeds' in input)) return await packPrompts(input, options, model)
  const placed = placedAt(input.positionIds, model.positions)
  refusePlacedPadding(input, options)
  const batch = await placed(await packMatrices(input, options, model), options.signal)
  return { batch, truncated: Array<boolean>(batch.rows).fill(false) }
}

async function packPrompts(
  prompts: readonly string[],
  { pipeline: name = 'none', maxTokens, signal }: EncodeOptions,
  { vocab, positions, ...model }: PackingModel,
): Promise<PackedInput> {
  const preset = resolvePipeline(name)
  const pipeline = { ...preset, maxTokens: maxTokens ?? preset.maxTokens }
  const tokenizer = model.tokenizer()
  checkTokenizer(tokenizer, name, preset)
  const texts = prompts.map((prompt) => preparePrompt(pipeline, prompt))
  const { ids, truncated } = await tokenizer.tokenize(texts, pipeline.maxTokens, signal)
  const packing = packTokens(ids, { pipeline, padId: tokenizer.padId, vocab })
  const placed = placedAt(undefined, positions)
  return { batch: await placed(await inTurns(packing, signal), signal), truncated }
}

/** A tokenizer may fit the vocabulary of another family's weights, and its ids mean nothing there. */
function checkTokenizer({ file, eosId }: TokenizerThread, name: string, pipeline: Pipeline): void {
  if (pipeline.eosId === undefined || pipeline.eosId === eosId) return
  throw new TokenizerError({
    file,
    field: '</s>',
    found: `id ${eosId}`,
    expected: `id ${pipeline.eosId}, as in the tokenizer of the pipeline ${name}`,
    hint: 'It belongs to another model',
  })
}

async function packMatrices(
  input: Matrices,
  options: EncodeOptions,
  { vocab, width, padId, masked: maskedId }: PackingModel,
): Promise<PackedBatch> {
  const { masked = 'compute', signal } = options
  if ('inputsEmbeds' in input) {
    const pipeline = paddingOf(options, 'inputsEmbeds', input.inputsEmbeds.shape)
    const how = { masked, width, pipeline }
    return await inTurns(packEmbeds(input.inputsEmbeds, input.attentionMask, how), signal)
  }
  const { inputIds } = input
  const attentionMask = maskOf(input.attentionMask, inputIds.data, maskedId)
  const pipeline = paddingOf(options, 'inputIds', inputIds.shape)
  const packing =
    pipeline === undefined
      ? packMatrix(inputIds, attentionMask, { masked, vocab })
      : packPaddedMatrix(inputIds, attentionMask, { pipeline, padId, vocab })
  return await inTurns(packing, signal)
}

/** Rows that a pipeline pads are other rows than those whose positions were given. */
function refusePlacedPadding({ positionIds }: Matrices, { pipeline = 'none' }: EncodeOptions): void {
  if (positionIds === undefined || pipeline === 'none') return
  throw new InputError({
    field: 'positionIds',
    found: `positions, with the pipeline ${pipeline}`,
    expected: 'one of the two',
  })
}

/** How ids or embeddings are padded: as the pipeline named pads prompts. Without one they stay as they are. */
function paddingOf(
  { pipeline: name = 'none', maxTokens, masked }: EncodeOptions,
  field: string,
  [, tokens = 0]: readonly number[],
): Pipeline | undefined {
  const preset = resolvePipeline(name)
  const limit = maxTokens ?? (name === 'none' ? Infinity : preset.maxTokens)
  if (tokens > limit) {
    throw new InputError({
      field,
      found: `${tokens} tokens`,
      expected: `at most ${limit}, as ${maxTokens === undefined ? `the pipeline ${name}` : 'maxTokens'} says`,
      hint: 'Only prompts are cut',
    })
  }
  if (name === 'none') return undefined
  if (masked === undefined) return { ...preset, maxTokens: limit }
  throw new InputError({
    field: 'masked',
    found: `${masked}, with the pipeline ${name}`,
    expected: 'one of the two: a pipeline says which rows are computed',
  })
}
