import { readFile, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { ioReason } from '../../io/files.js'
import { inTurns } from '../../io/turns.js'
import { TOKENIZER_FILES } from '../../checkpoint/locate.js'
import { identifyBytes } from '../../checkpoint/identify.js'
import { InputError, TokenizerError } from '../../errors.js'
import { openBytes } from './bytes.js'
import { readConfig } from './config.js'
import {
  checkTokenizerJson,
  openTokenizerJson,
  readTokenizerJson,
  type TokenizerJson,
} from './huggingface.js'
import { fromMerges } from './merges.js'
import { openSentencePiece } from './sentencepiece.js'
import type { Tokenizer } from './types.js'

export type { Tokenizer } from './types.js'

/** With merges.txt beside it, the tokenizer of CLIP or Qwen in diffusers' folders. */
const VOCABULARY = 'vocab.json'
const CONFIG = 'tokenizer_config.json'

/** Gemma 3's tokenizer.json is 33 MB, the largest in use. */
const MAX_BYTES = 64 << 20
/** Of a tokenizer.json: each takes far more memory than its two brackets. UMT5's has a list for each of its 256,300 pieces. */
const MAX_VALUES = 2_000_000

/**
 * Opens a tokenizer.json (ids exactly Hugging Face's), a SentencePiece model of the T5 family (ids exactly Google's), or a folder that
 * holds one, or vocab.json and merges.txt, or names ByT5's; tokenizer.json is preferred there, for it is what users of diffusers get.
 * @throws TokenizerError where there is none, or none that can be used
 */
export async function openTokenizer(path: string): Promise<Tokenizer> {
  return openTokenizerFile(await tokenizerFile(path))
}

/** The file that a path to a file or folder means. @throws TokenizerError */
export async function tokenizerFile(path: string): Promise<string> {
  const kind = await kindOf(path)
  if (kind === 'file') return path
  if (kind === 'folder') return await fileIn(path)
  throw new TokenizerError({
    file: path,
    found: kind === undefined ? 'nothing' : 'a device, pipe or socket',
    expected: `${TOKENIZER_FILES.join(', ')} or a folder with one of them`,
  })
}

/** Opens a file. @param readJson who reads a tokenizer.json */
export async function openTokenizerFile(
  path: string,
  readJson: (path: string) => Promise<TokenizerJson> = readJsonFile,
): Promise<Tokenizer> {
  const config = await readConfig(path)
  if (basename(path) === CONFIG) {
    if (config.class?.startsWith('ByT5Tokenizer')) return openBytes(path, config)
    throw new TokenizerError({
      file: path,
      field: 'tokenizer_class',
      found: config.class ?? 'none',
      expected: `ByT5Tokenizer, where there is none of ${TOKENIZER_FILES.join(', ')} or ${VOCABULARY}`,
    })
  }
  if (isJson(path)) return openTokenizerJson(path, await readJson(path), config)
  return await openSentencePiece(path, await readModel(path), config)
}

/** Reads a tokenizer.json. @throws TokenizerError */
export async function readJsonFile(path: string): Promise<TokenizerJson> {
  if (basename(path) === VOCABULARY) return checkTokenizerJson(path, await fromMerges(path))
  const bytes = await readModel(path)
  let values = 0
  for (const byte of bytes) if (byte === 0x5b || byte === 0x7b) values++ // [ and {
  if (values <= MAX_VALUES) return readTokenizerJson(path, bytes)
  throw new TokenizerError({
    file: path,
    found: `${values} lists and objects`,
    expected: `at most ${MAX_VALUES}`,
  })
}

const isJson = (path: string): boolean => path.endsWith('.json')

/** The bytes of a file that may be a tokenizer. */
async function readModel(path: string): Promise<Uint8Array> {
  const bytes = await readBounded(path)
  const other = identifyBytes(bytes)
  if (other !== undefined && !(isJson(path) && other === 'a JSON text')) {
    throw new TokenizerError({
      file: path,
      found: other,
      expected: isJson(path) ? 'a tokenizer.json' : 'a SentencePiece model',
    })
  }
  return bytes
}

async function kindOf(path: string): Promise<'file' | 'folder' | 'other' | undefined> {
  const found = await stat(path).catch(() => undefined)
  if (found === undefined) return undefined
  return found.isDirectory() ? 'folder' : found.isFile() ? 'file' : 'other'
}

async function fileIn(folder: string): Promise<string> {
  for (const name of [...TOKENIZER_FILES, VOCABULARY, CONFIG]) {
    const file = join(folder, name)
    if ((await kindOf(file)) === 'file') return file
  }
  throw new TokenizerError({
    file: folder,
    found: `none of ${TOKENIZER_FILES.join(', ')}`,
    expected: 'a folder with one of them',
  })
}

async function readBounded(file: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(file)
    if (size <= MAX_BYTES) return await readFile(file)
    throw new TokenizerError({ file, found: `${size} bytes`, expected: `at most ${MAX_BYTES}` })
  } catch (cause) {
    if (cause instanceof TokenizerError) throw cause
    throw new TokenizerError({ file, message: `cannot be read: ${ioReason(cause)}` }, { cause })
  }
}

/** Prompts as ids, cut to a length. */
export interface Tokenized {
  /** Per prompt at most `maxTokens` ids, the special ones last also where the prompt was cut, as Hugging Face does it. */
  readonly ids: Int32Array[]
  /** Per prompt, whether tokens were dropped. */
  readonly truncated: boolean[]
}

/**
 * Tokenises on the calling thread, which is the tokenizer's own (worker.ts). The thread's event loop gets its turn whenever a
 * slice of 2 ms is used up, also within a long prompt, and all calls share that slice (turns.ts): so a short prompt does not
 * wait for a hostile megabyte, and a cancelled one ends.
 * @throws the signal's reason once it is aborted
 */
export async function tokenizeAll(
  tokenizer: Pick<Tokenizer, 'encodeSteps' | 'after'>,
  prompts: readonly string[],
  maxTokens: number,
  signal?: AbortSignal,
): Promise<Tokenized> {
  const ids: Int32Array[] = []
  const truncated: boolean[] = []
  signal?.throwIfAborted()
  for (const prompt of prompts) {
    const whole = await inTurns(tokenizer.encodeSteps(prompt, maxTokens), signal)
    ids.push(cut(whole, maxTokens, tokenizer.after))
    truncated.push(whole.length > maxTokens)
  }
  return { ids, truncated }
}

/** Prompts of one call. */
export const MAX_PROMPTS = 1 << 17
/** UTF-16 units of one prompt, far above what a model reads; any shorter prompt is cut by its tokens alone. */
export const MAX_PROMPT_CHARACTERS = 1 << 20
/** Of all prompts of a call: they are handed to the tokenizer's thread at once. */
export const MAX_CALL_CHARACTERS = 1 << 24

/** @throws InputError: TypeScript callers cannot get here with anything else; JavaScript callers and parsed JSON can */
export function checkPrompts(prompts: readonly unknown[], maxTokens: number): void {
  if (!Number.isSafeInteger(maxTokens) || maxTokens < 1) {
    throw new InputError({
      field: 'maxTokens',
      found: String(maxTokens),
      expected: 'a whole number from 1 up',
    })
  }
  if (prompts.length > MAX_PROMPTS) {
    const found = `${prompts.length} prompts`
    throw new InputError({ field: 'prompts', found, expected: `at most ${MAX_PROMPTS} in one call` })
  }
  let characters = 0
  for (const [i, prompt] of prompts.entries()) {
    const field = `prompts[${i}]`
    if (typeof prompt !== 'string')
      throw new InputError({ field, found: typeof prompt, expected: 'a string' })
    if (prompt.length > MAX_PROMPT_CHARACTERS) {
      const found = `${prompt.length} characters`
      throw new InputError({ field, found, expected: `at most ${MAX_PROMPT_CHARACTERS}` })
    }
    characters += prompt.length
  }
  if (characters <= MAX_CALL_CHARACTERS) return
  const found = `${characters} characters`
  throw new InputError({ field: 'prompts', found, expected: `at most ${MAX_CALL_CHARACTERS} in one call` })
}

function cut(ids: Int32Array, maxTokens: number, after: readonly number[]): Int32Array {
  if (ids.length <= maxTokens) return ids
  const kept = ids.slice(0, maxTokens)
  const end = after.slice(-maxTokens)
  kept.set(end, maxTokens - end.length)
  return kept
}
