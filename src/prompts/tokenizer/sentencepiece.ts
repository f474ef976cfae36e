import type { SentencePieceProcessor } from 'sentencepiece-js'
import { TokenizerError } from '../../errors.js'
import { finish } from '../../io/turns.js'
import { encodeInChunks } from './chunks.js'
import type { TokenizerConfig } from './config.js'
import type { Tokenizer } from './types.js'

const EXPECTED = 'the SentencePiece model of a T5, UMT5 or Pile-T5 model'

/** spiece.model, or the tokenizer.model of Pile-T5, by Google's own SentencePiece, in WebAssembly: ids exactly Google's. */
export async function openSentencePiece(
  file: string,
  bytes: Uint8Array,
  config: TokenizerConfig,
): Promise<Tokenizer> {
  const vocab = countPieces(bytes)
  if (vocab === undefined) throw notAModel(file, 'bytes of another form')
  const engine = await load(file)
  const status = take(engine.processor.status(), (s) => s.ToString())
  if (status !== 'OK') throw notAModel(file, `a damaged one (${status})`)
  const unkId = pieceId(engine, '<unk>')
  const known = (piece: string): number | undefined => {
    const id = pieceId(engine, piece)
    return id === unkId ? undefined : id
  }
  // Llama's, which Pile-T5 has, names no pad and has a piece for each byte; its <s> pads, as in diffusers
  const isLlama = known('<pad>') === undefined && known('<0x00>') !== undefined
  const padId = known(isLlama ? '<s>' : '<pad>')
  const eosId = known('</s>')
  if (padId === undefined || eosId === undefined) throw notAModel(file, 'one without <pad> and </s>')
  const ids = (chunk: string): number[] => engine.encodeIds(chunk)
  const space = isLlama ? 'each' : 'run'
  const encodeSteps: Tokenizer['encodeSteps'] = (text, maxTokens, bare) =>
    encodeInChunks(text, { ids, before: [], after: bare ? [] : [eosId], space }, maxTokens)
  return {
    encode: (text, maxTokens, bare) => finish(encodeSteps(text, maxTokens, bare)),
    encodeSteps,
    before: [],
    after: [eosId],
    padId,
    padSide: config.padSide,
    eosId,
    maxLength: config.maxLength,
    vocab,
    file,
  }
}

const notAModel = (file: string, found: string, options?: ErrorOptions): TokenizerError =>
  new TokenizerError({ file, found, expected: EXPECTED }, options)

async function load(file: string): Promise<SentencePieceProcessor> {
  const { SentencePieceProcessor: Engine } = await import('sentencepiece-js')
  const before = emscriptenListeners()
  const engine = new Engine()
  try {
    await engine.load(file)
  } catch (cause) {
    throw notAModel(file, cause instanceof Error ? cause.message : 'a file the engine cannot load', { cause })
  } finally {
    removeListeners(before)
  }
  return engine
}

const EVENTS = ['uncaughtException', 'unhandledRejection'] as const
type Listener = (...args: unknown[]) => void

/**
 * Each start of an emscripten module puts two listeners on the process, for programs that call exit(). They rethrow
 * what they are given, so that the host's own handling of errors would never run. They are known by their text, because
 * other listeners that the host registers meanwhile must stay.
 */
function emscriptenListeners(): Set<unknown> {
  return new Set(EVENTS.flatMap((event) => listeners(event)))
}

function removeListeners(before: ReadonlySet<unknown>): void {
  for (const event of EVENTS) {
    for (const listener of listeners(event)) {
      if (!before.has(listener)) process.removeListener(event, listener)
    }
  }
}

function listeners(event: (typeof EVENTS)[number]): Listener[] {
  const all = process.listeners(event as 'uncaughtException') as Listener[]
  return all.filter((listener) =>
    /^function\s*\((ex|reason)\)\s*\{\s*(if\s*\(!\(ex instanceof ExitStatus\)\)\s*\{\s*throw ex;?\s*\}|throw reason;?)\s*\}$/.test(
      listener.toString(),
    ),
  )
}

function pieceId(engine: SentencePieceProcessor, piece: string): number {
  return take(new engine.sentencepiece.StringView(piece), (text) =>
    take(text.getView(), (view) => engine.processor.PieceToId(view)),
  )
}

/** Uses an object of the WebAssembly heap and frees it. */
function take<H extends { delete(): void }, T>(handle: H, use: (handle: H) => T): T {
  try {
    return use(handle)
  } finally {
    handle.delete()
  }
}

/**
 * Counts the pieces of a model, which the library does not tell: fields 1 of its outermost protobuf message, each length-delimited.
 * Undefined where the bytes are no such message; the engine, which would print about them, then never sees them.
 */
function countPieces(bytes: Uint8Array): number | undefined {
  let pieces = 0
  let at = 0
  const varint = (): number => {
    let value = 0
    for (let shift = 1; at < bytes.length; shift *= 128) {
      const byte = bytes[at++]!
      value += (byte % 128) * shift
      if (byte < 128) return value
    }
    return Infinity // ended inside
  }
  while (at < bytes.length) {
    const tag = varint()
    if (tag % 8 !== 2) return undefined // every field of a ModelProto is length-delimited
    const length = varint() // moves `at` itself
    at += length
    if (tag === 0x0a) pieces++
  }
  return at === bytes.length && pieces > 0 ? pieces : undefined
}
