import { show } from '../../io/show.js'
import { Tokenizer as Engine } from '@huggingface/tokenizers'
import { z } from 'zod'
import { TokenizerError } from '../../errors.js'
import { finish } from '../../io/turns.js'
import { encodeInChunks, type Space } from './chunks.js'
import type { TokenizerConfig } from './config.js'
import { packPieces, Pieces, type PieceArrays } from './pieces.js'
import type { Tokenizer, TokenizerFacts } from './types.js'

const EXPECTED = 'the tokenizer.json of a T5, CLIP, Llama, Qwen, Mistral or Gemma model'

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

/** Byte-pair encoding: that of CLIP and of decoders, and Llama's first one, which Pile-T5 has. */
const pairs = z.looseObject({
  model: z
    .looseObject({
      byte_fallback: z.boolean().nullish(),
      vocab: z.record(z.string(), z.int().nonnegative()),
      unk_token: z.string().nullish(),
      merges: z.array(z.unknown()),
    })
    .refine(({ vocab, unk_token }) => unk_token == null || Object.hasOwn(vocab, unk_token), {
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
export type TokenizerJson = UnigramJson | { readonly pairs: z.infer<typeof pairs> }

/** @throws TokenizerError */
export const readTokenizerJson = (file: string, bytes: Uint8Array): TokenizerJson =>
  checkTokenizerJson(file, parse(file, bytes))

/** The same of JSON that was parsed. @throws TokenizerError */
export function checkTokenizerJson(file: string, json: unknown): TokenizerJson {
  const type = modelType(json)
  if (type === 'BPE') return { pairs: check(file, pairs, json) }
  if (type !== undefined && type !== 'Unigram') {
    const expected = `"Unigram" or "BPE": ${EXPECTED}`
    throw new TokenizerError({ file, field: 'model.type', found: show(type), expected })
  }
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
export function openTokenizerJson(file: string, read: TokenizerJson, config: TokenizerConfig): Tokenizer {
  if ('pairs' in read) return openPairs(file, read.pairs, config)
  const engine = attempt(file, () => unigramEngine(read))
  const padId = engine.token_to_id('<pad>')
  const eosId = engine.token_to_id('</s>')
  const around = attempt(file, () => specialIds(engine))
  if (
    padId === undefined ||
    eosId === undefined ||
    String([...around.before, ...around.after]) !== `${eosId}`
  ) {
    throw new TokenizerError({
      file,
      found: 'a tokenizer that does not end a prompt with </s> and pad it with <pad>',
      expected: EXPECTED,
    })
  }
  const vocab = idsOf(read.unigram.added_tokens, read.pieces.ends.length)
  return tokenizerOf(engine, { ...around, ...facts(config), padId, eosId, vocab, file }, 'run')
}

function openPairs(file: string, json: z.infer<typeof pairs>, config: TokenizerConfig): Tokenizer {
  const engine = attempt(file, () => new Engine(json, {}))
  const idOf = (name: string | undefined): number | undefined =>
    name === undefined ? undefined : (engine.token_to_id(name) ?? undefined)
  const around = attempt(file, () => specialIds(engine))
  const eosId = idOf(config.eos) ?? around.after.at(-1) ?? idOf('</s>')
  // Llama's first one names no pad; its <s> pads, as in diffusers. Others pad with their end
  const padId = idOf(config.pad) ?? idOf('<pad>') ?? idOf('<s>') ?? eosId
  if (padId === undefined) {
    throw new TokenizerError({ file, found: 'no token that pads or ends a text', expected: EXPECTED })
  }
  const pieces = Object.values(json.model.vocab).reduce((n, id) => Math.max(n, id + 1), 0)
  const vocab = idsOf(json.added_tokens, pieces)
  const space = attempt(file, () => spaceOf(engine))
  return tokenizerOf(engine, { ...around, ...facts(config), padId, eosId, vocab, file }, space)
}

const facts = ({ padSide, maxLength }: TokenizerConfig): Pick<TokenizerFacts, 'padSide' | 'maxLength'> => ({
  padSide,
  maxLength,
})

const bareIds = (engine: Engine, text: string): number[] =>
  engine.encode(text, { add_special_tokens: false }).ids

/** What the engine puts around every text. */
function specialIds(engine: Engine): Pick<TokenizerFacts, 'before' | 'after'> {
  const { ids } = engine.encode('a')
  const bare = bareIds(engine, 'a')
  const at = ids.findIndex((_, i) => String(ids.slice(i, i + bare.length)) === String(bare))
  const before = ids.slice(0, at)
  const after = ids.slice(at + bare.length)
  if (at < 0 || bare.length === 0 || String(engine.encode('').ids) !== String([...before, ...after])) {
    throw new Error('it does not put the same ids around each text')
  }
  return { before, after }
}

function spaceOf(engine: Engine): Space {
  const ids = (text: string): string => String(bareIds(engine, text))
  if (ids('a  a') === ids('a a')) return 'run'
  return ids('a a') === `${ids('a')},${ids('a')}` ? 'each' : 'begins'
}

/** One more than the largest id. */
const idsOf = (added: z.infer<typeof addedTokens>, vocab: number): number =>
  added.reduce((n, token) => Math.max(n, token.id + 1), vocab)

function tokenizerOf(engine: Engine, known: TokenizerFacts, space: Space): Tokenizer {
  const ids = (chunk: string): number[] => bareIds(engine, chunk)
  const encodeSteps: Tokenizer['encodeSteps'] = (text, maxTokens, bare) => {
    const { before, after } = bare ? { before: [], after: [] } : known
    return encodeInChunks(text, { ids, before, after, space }, maxTokens)
  }
  return {
    ...known,
    encode: (text, maxTokens, bare) => finish(encodeSteps(text, maxTokens, bare)),
    encodeSteps,
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
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new TokenizerError({ file, found: `no JSON (${why})`, expected: EXPECTED }, { cause })
  }
}

function check<T>(file: string, outline: z.ZodType<T>, json: unknown): T {
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
