import { toUSVString } from 'node:util'

/**
 * Texts up to this length (UTF-16 units) go to the engine whole. Longer ones go in pieces: Hugging Face's engine takes
 * quadratic time for a run of unknown characters (11 ms for 2,048 of them) and overflows the stack below a million
 * characters of any kind; and nobody wants more than the first few hundred tokens of a megabyte prompt.
 */
export const CHUNK = 2048

/** An engine's part of a Tokenizer. */
export interface ChunkEngine {
  /** Ids of a chunk, without eos. */
  ids(chunk: string): readonly number[]
  readonly eosId: number
  /** Every space and line break has its id, as in Llama's tokenizers; T5's make one space of a run of them. */
  readonly keepsSpace: boolean
}

/**
 * Ids of a text, then eos. It works in steps of a chunk, between which a caller can let others run. With `maxTokens`, it ends as
 * soon as there are more ids.
 *
 * Cutting at a space changes no id: SentencePiece tokens begin at a space and never run across one, and either engine
 * puts a space before a chunk. Only a word of more than CHUNK characters without a space is cut inside,
 * where it is then tokenised as two words.
 */
export function* encodeInChunks(
  text: string,
  engine: ChunkEngine,
  maxTokens = Infinity,
): Generator<undefined, Int32Array> {
  // WebAssembly's UTF-8 and Hugging Face's char map disagree on halves of a surrogate pair
  const wellFormed = toUSVString(text)
  const ids: number[] = []
  for (const chunk of chunks(wellFormed, engine.keepsSpace)) {
    for (const id of engine.ids(chunk)) ids.push(id)
    if (ids.length >= maxTokens) break // with eos there are more than maxTokens
    yield
  }
  ids.push(engine.eosId)
  return Int32Array.from(ids)
}

function* chunks(text: string, keepsSpace: boolean): Generator<string> {
  let from = 0
  while (text.length - from > CHUNK) {
    const space = lastSpace(text, from, keepsSpace)
    if (space > from) {
      yield text.slice(from, space)
      from = space + 1
    } else {
      const inPair = text.codePointAt(from + CHUNK - 1)! > 0xffff
      const to = from + CHUNK - (inPair ? 1 : 0)
      yield text.slice(from, to)
      from = to
    }
  }
  yield text.slice(from)
}

/**
 * The last space to cut at within a chunk. A space before a combining mark is no cut, for the mark belongs to it. Where spaces are
 * kept, neither is a line break nor one of several spaces: only a single space is what the engine puts before the next chunk.
 */
function lastSpace(text: string, from: number, keepsSpace: boolean): number {
  for (let i = from + CHUNK; i > from; i--) {
    const isSpace = keepsSpace
      ? text[i] === ' ' && !/[\s▁]/.test(text[i - 1]!)
      : text[i] === ' ' || text[i] === '\n'
    if (isSpace && /^[\p{L}\p{N}\p{P}]/u.test(text.slice(i + 1, i + 3))) return i
  }
  return -1
}
