import { Tokenizer as Engine } from '@huggingface/tokenizers'
import { z } from 'zod'
import { TokenizerError } from '../../errors.js'
import { finish } from '../../io/turns.js'
import { encodeInChunks } from './chunks.js'
import type { Tokenizer } from './types.js'

const EXPECTED = 'the tokenizer.json of a T5 or UMT5 model'

/** Checks only the outline: the engine reads the rest, and whatever it throws becomes our error. */
const outline = z.looseObject({
  model: z.looseObject({ type: z.string(), vocab: z.array(z.tuple([z.string(), z.number()])).min(1) }),
  added_tokens: z.array(z.looseObject({ id: z.int().nonnegative(), content: z.string() })).default([]),
})

/**
 * tokenizer.json by Hugging Face's own engine in JavaScript, so that ids are those diffusers gives: they differ from
 * Google's on literal `</s>` and `<extra_id_0>` (read as the tokens they name), stacked combining marks and some
 * "!!!" runs.
 */
export function openTokenizerJson(file: string, bytes: Uint8Array): Tokenizer {
  const json = parse(file, bytes)
  const engine = attempt(file, () => new Engine(json, {}))
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

function parse(file: string, bytes: Uint8Array): z.infer<typeof outline> {
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
