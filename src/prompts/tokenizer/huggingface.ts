import { Tokenizer as Engine } from '@huggingface/tokenizers'
import { z } from 'zod'
import { TokenizerError } from '../../errors.js'
import { finish } from '../../io/turns.js'
import { encodeInChunks } from './chunks.js'
import { packPieces, Pieces, type PieceArrays } from './pieces.js'
import type { Tokenizer } from './types.js'

const EXPECTED = 'the tokenizer.json of a T5, UMT5 or Pile-T5 model'

const addedTokens = z.array(z.looseObject({ id: z.int().nonnegative(), content: z.string() })).default([])

/** Checks only the outline: the engine reads the rest, and whatever it throws becomes our error. */
const unigram = z.looseObject({
  model: z.looseObject({
    type: z.string(),
    vocab: z.array(z.tuple([z.string(), z.number()])).min(1),
    unk_id: z.int().nonnegative(),
  }),
  added_tokens: addedTokens,
})

/** Llama's, which Pile-T5 has: pairs merged, and the bytes of what is in no piece. */
const llama = z.looseObject({
  model: z
    .looseObject({
      byte_fallback: z.literal(true),
      vocab: z.record(z.string(), z.int().nonnegative()),
      unk_token: z.string(),
    })
    .refine(({ vocab, unk_token }) => Object.hasOwn(vocab, unk_token), {
      path: ['unk_token'],
      message: 'no piece of the vocabulary',
    }),
  added_tokens: addedTokens,
})

/** Of a T5 or UMT5: for the engine its JSON with the unknown piece alone as its vocabulary; the vocabulary in typed arrays. */
interface UnigramJson {
  readonly unigram: z.infer<typeof unigram>
  readonly pieces: PieceArrays
  readonly unkId: number
}

/** A tokenizer.json that was checked. It can be handed from thread to thread. */
export type TokenizerJson = UnigramJson | { readonly llama: z.infer<typeof llama> }

/** @throws TokenizerError */
export function readTokenizerJson(file: string, bytes: Uint8Array): TokenizerJson {
  const json = parse(file, bytes)
  if (isLlama(json)) return { llama: check(file, llama, json) }
  const checked = check(file, unigram, json)
  const { vocab, unk_id: unkId } = checked.model
  if (unkId >= vocab.length) {
    throw new TokenizerError({
      file,
      field: 'model.unk_id',
      found: String(unkId),
      expected: `one of ${vocab.length} pieces`,
    })
  }
  const withoutVocab = { ...checked, model: { ...checked.model, vocab: [vocab[unkId]!], unk_id: 0 } }
  return { unigram: withoutVocab, pieces: packPieces(vocab), unkId }
}

/**
 * tokenizer.json by Hugging Face's own engine in JavaScript, so that ids are those diffusers gives: they differ from
 * Google's on literal `</s>` and `<extra_id_0>` (read as the tokens they name), stacked combining marks and some
 * "!!!" runs.
 */
export function openTokenizerJson(file: string, read: TokenizerJson): Tokenizer {
  if ('llama' in read) return llamaTokenizer(file, read.llama)
  const engine = attempt(file, () => unigramEngine(read))
  return tokenizerOf(file, engine, {
    padId: engine.token_to_id('<pad>'),
    vocab: idsOf(read.unigram.added_tokens, read.pieces.ends.length),
    keepsSpace: false,
  })
}

function llamaTokenizer(file: string, json: z.infer<typeof llama>): Tokenizer {
  const engine = attempt(file, () => new Engine(json, {}))
  const vocab = Object.values(json.model.vocab).reduce((n, id) => Math.max(n, id + 1), 0)
  return tokenizerOf(file, engine, {
    // Llama's names no pad; its <s> pads, as in diffusers
    padId: engine.token_to_id('<pad>') ?? engine.token_to_id('<s>'),
    vocab: idsOf(json.added_tokens, vocab),
    keepsSpace: true,
  })
}

/** One more than the largest id. */
const idsOf = (added: z.infer<typeof addedTokens>, vocab: number): number =>
  added.reduce((n, token) => Math.max(n, token.id + 1), vocab)

interface EngineFacts {
  readonly padId: number | undefined
  readonly vocab: number
  readonly keepsSpace: boolean
}

function tokenizerOf(file: string, engine: Engine, { padId, vocab, keepsSpace }: EngineFacts): Tokenizer {
  const eosId = engine.token_to_id('</s>')
  const alone = attempt(file, () => engine.encode('').ids)
  if (padId === undefined || eosId === undefined || alone.length !== 1 || alone[0] !== eosId) {
    throw new TokenizerError({
      file,
      found: 'a tokenizer that does not end a prompt with </s> and pad it with <pad>',
      expected: EXPECTED,
    })
  }
  const ids = (chunk: string): number[] => engine.encode(chunk, { add_special_tokens: false }).ids
  const chunks = { ids, eosId, keepsSpace }
  const encodeSteps: Tokenizer['encodeSteps'] = (text, maxTokens) => encodeInChunks(text, chunks, maxTokens)
  return {
    encode: (text, maxTokens) => finish(encodeSteps(text, maxTokens)),
    encodeSteps,
    padId,
    eosId,
    vocab,
    file,
  }
}

/**
 * The engine with its vocabulary in typed arrays. Its own trie of objects takes 300 MB for UMT5; this one gives it the same pieces in
 * the same order, so the same ids. What is set here is what the constructor of its Unigram (0.2.0) derives from the vocabulary.
 */
function unigramEngine({ unigram: json, pieces: arrays, unkId }: UnigramJson): Engine {
  const engine = new Engine(json, {})
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

function parse(file: string, bytes: Uint8Array): unknown {
  let json: unknown
  try {
    json = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TokenizerError({ file, found: `no JSON (${why})`, expected: EXPECTED }, { cause })
  }
  const type = modelType(json)
  if (type !== undefined && type !== 'Unigram' && !isLlama(json)) {
    // CLIP's is BPE without byte fallback: a mixed-up tokenizer folder gives ids that look right and mean nothing
    const found = `${JSON.stringify(type)}${type === 'BPE' ? ', as CLIP has it' : ''}`
    throw new TokenizerError({
      file,
      field: 'model.type',
      found,
      expected: `"Unigram", or "BPE" with byte fallback: ${EXPECTED}`,
    })
  }
  return json
}

function check<T>(file: string, outline: z.ZodType<T>, json: unknown): T {
  const result = outline.safeParse(json)
  if (result.success) return result.data
  const { path, message } = result.error.issues[0]!
  throw new TokenizerError({ file, field: path.join('.') || undefined, found: message, expected: EXPECTED })
}

const modelType = (json: unknown): unknown =>
  z.object({ model: z.object({ type: z.string() }) }).safeParse(json).data?.model.type

const isLlama = (json: unknown): boolean =>
  z.object({ model: z.object({ type: z.literal('BPE'), byte_fallback: z.literal(true) }) }).safeParse(json)
    .success

function attempt<T>(file: string, use: () => T): T {
  try {
    return use()
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TokenizerError({ file, message: `cannot be used: ${why}; expected ${EXPECTED}` }, { cause })
  }
}
