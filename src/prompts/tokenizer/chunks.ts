import { toUSVString } from 'node:util'

/**
 * Texts up to this length (UTF-16 units) go to the engine whole. Longer ones go in pieces: Hugging Face's engine takes
 * quadratic time for a run of unknown characters (11 ms for 2,048 of them) and overflows the stack below a million
 * characters of any kind; and nobody wants more than the first few hundred tokens of a megabyte prompt.
 */
export const CHUNK = 2048

/** An engine's part of a Tokenizer. */
export interface ChunkEngine {
  /** Ids of a chunk, without special ones around it. */
  ids(chunk: string): readonly number[]
  readonly before: readonly number[]
  readonly after: readonly number[]
  readonly space: Space
}

/**
 * What an engine makes of space. `run`: one space of a run of them and of line breaks, put before each chunk (T5, CLIP). `each`: every
 * one has its id, and one is put before a chunk (Pile-T5). `begins`: every one has its id, and one begins the word that follows.
 */
export type Space = 'run' | 'each' | 'begins'

/**
 * Ids of a text, within the special ones. It works in steps of a chunk, between which a caller can let others run. With `maxTokens`, it ends as
 * soon as there are more ids.
 *
 * Cutting at a space changes no id: tokens begin at a space and never run across one. Only a word of more than CHUNK characters without a space is cut inside,
 * where it is then tokenised as two words.
 */
export function* encodeInChunks(
  text: string,
  engine: ChunkEngine,
  maxTokens = Infinity,
): Generator<undefined, Int32Array> {
  // WebAssembly's UTF-8 and Hugging Face's char map disagree on halves of a surrogate pair
  const wellFormed = toUSVString(text)
  const ids: number[] = [...engine.before]
  for (const chunk of chunks(wellFormed, engine.space)) {
    for (const id of engine.ids(chunk)) ids.push(id)
    if (ids.length > maxTokens - engine.after.length) break // with the end there are more than maxTokens
    yield
  }
  ids.push(...engine.after)
  return Int32Array.from(ids)
}

function* chunks(text: string, kind: Space): Generator<string> {
  let from = 0
  while (text.length - from > CHUNK) {
    const space = lastSpace(text, from, kind)
    if (space > from) {
      yield text.slice(from, space)
      from = kind === 'begins' ? space : space + 1
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
 * kept, neither is a line break nor one of several spaces: only a single one begins the next chunk, or is put before it.
 */
function lastSpace(text: string, from: number, kind: Space): number {
  const word = kind === 'begins' ? /^\p{L}/u : /^[\p{L}\p{N}\p{P}]/u
  for (let i = from + CHUNK; i > from; i--) {
    const isSpace =
      kind === 'run' ? text[i] === ' ' || text[i] === '\n' : text[i] === ' ' && !/[\s▁]/.test(text[i - 1]!)
    if (isSpace && word.test(text.slice(i + 1, i + 3))) return i
  }
  return -1
}
