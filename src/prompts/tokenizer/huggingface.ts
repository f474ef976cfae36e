import { Tokenizer as Engine } from '@huggingface/tokenizers'
import { z } from 'zod'
import { TokenizerError } from '../../errors.js'
import { finish } from '../../io/turns.js'
import { encodeInChunks } from './chunks.js'
import { packPieces, Pieces } from './pieces.js'
import type { Tokenizer } from './types.js'

const EXPECTED = 'the tokenizer.json of a T5 or UMT5 model'

/** Checks only the outline: the engine reads the rest, and whatever it throws becomes our error. */
const outline = z.looseObject({
  model: z.looseObject({
    type: z.string(),
    vocab: z.array(z.tuple([z.string(), z.number()])).min(1),
    unk_id: z.int().nonnegative(),
  }),
  added_tokens: z.array(z.looseObject({ id: z.int().nonnegative(), content: z.string() })).default([]),
})

/**
 * tokenizer.json by Hugging Face's own engine in JavaScript, so that ids are those diffusers gives: they differ from
 * Google's on literal `</s>` and `<extra_id_0>` (read as the tokens they name), stacked combining marks and some
 * "!!!" runs.
 */
export function openTokenizerJson(file: string, bytes: Uint8Array): Tokenizer {
  const json = parse(file, bytes)
  const engine = attempt(file, () => unigramEngine(file, json))
  const [padId, eosId] = ['<pad>', '</s>'].map((token) => engine.token_to_id(token))
  const alone = attempt(file, () => engine.encode('').ids)
  if (padId === undefined || eosId === undefined || alone.length !== 1 || alone[0] !== eosId) {
    throw new TokenizerError({
      file,
      found: 'a tokenizer that does not end a prompt with </s> and pad it with <pad>',
      expected: EXPECTED,
    })
  }
  const encode = (chunk: string): number[] => engine.encode(chunk, { add_special_tokens: false }).ids
  const encodeSteps: Tokenizer['encodeSteps'] = (text, maxTokens) =>
    encodeInChunks(text, encode, eosId, maxTokens)
  return {
    encode: (text, maxTokens) => finish(encodeSteps(text, maxTokens)),
    encodeSteps,
    padId,
    eosId,
    vocab: json.added_tokens.reduce((n, token) => Math.max(n, token.id + 1), json.model.vocab.length),
    file,
  }
}

type Outline = z.infer<typeof outline>

/**
 * The engine with its vocabulary in typed arrays. Its own trie of objects takes 300 MB for UMT5; this one gives it the same pieces in
 * the same order, so the same ids. What is set here is what the constructor of its Unigram (0.2.0) derives from the vocabulary.
 */
function unigramEngine(file: string, json: Outline): Engine {
  const { vocab, unk_id: unkId } = json.model
  if (unkId >= vocab.length) {
    throw new TokenizerError({
      file,
      field: 'model.unk_id',
      found: String(unkId),
      expected: `one of ${vocab.length} pieces`,
    })
  }
  const unk = vocab[unkId]!
  const engine = new Engine({ ...json, model: { ...json.model, vocab: [unk], unk_id: 0 } }, {})
  const arrays = packPieces(vocab)
  const pieces = new Pieces(arrays)
  const added = new Map(json.added_tokens.map(({ content, id }) => [content, id]))
  const minScore = arrays.scores.reduce((min, score) => Math.min(min, score))
  const unkScore = minScore - 10
  arrays.scores[unkId] = unkScore
  const ids = { get: (token: string) => added.get(token) ?? pieces.get(token) }
  Object.assign(engine.model, {
    scores: arrays.scores,
    tokens_to_ids: ids,
    trie: pieces,
    unk_token_id: unkId,
    min_score: minScore,
    unk_score: unkScore,
  })
  return engine
}

function parse(file: string, bytes: Uint8Array): Outline {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TokenizerError({ file, found: `no JSON (${why})`, expected: EXPECTED }, { cause })
  }
  const type = modelType(json)
  if (type !== undefined && type !== 'Unigram') {
    // CLIP's is BPE: a mixed-up tokenizer folder gives ids that look right and mean nothing
    const found = `${JSON.stringify(type)}${type === 'BPE' ? ', as CLIP has it' : ''}`
    throw new TokenizerError({ file, field: 'model.type', found, expected: `"Unigram": ${EXPECTED}` })
  }
  const result = outline.safeParse(json)
  if (result.success) return result.data
  const { path, message } = result.error.issues[0]!
  throw new TokenizerError({ file, field: path.join('.') || undefined, found: message, expected: EXPECTED })
}

const modelType = (json: unknown): unknown =>
  z.object({ model: z.object({ type: z.string() }) }).safeParse(json).data?.model.type

function attempt<T>(file: string, use: () => T): T {
  try {
    return use()
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TokenizerError({ file, message: `cannot be used: ${why}; expected ${EXPECTED}` }, { cause })
  }
}
