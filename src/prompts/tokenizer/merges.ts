import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { TokenizerError } from '../../errors.js'
import { readConfig } from './config.js'

/**
 * The tokenizer.json of a folder that has vocab.json and merges.txt only, as diffusers' repositories of CLIP and Qwen do. What stands
 * here beside the two files is what transformers' converters write (convert_slow_tokenizer.py, CLIPConverter and Qwen2Converter).
 * @param file the vocab.json. @throws TokenizerError
 */
export async function fromMerges(file: string): Promise<object> {
  const folder = dirname(file)
  const vocab = check(file, z.record(z.string(), z.int().nonnegative()), await readJson(file))
  const merges = (await readText(join(folder, 'merges.txt')))
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#version'))
  const { class: named, added } = await readConfig(file)
  const isClip = named === undefined ? Object.hasOwn(vocab, CLIP_START) : named.startsWith('CLIPTokenizer')
  if (!isClip && !named?.startsWith('Qwen2Tokenizer')) {
    throw new TokenizerError({
      file: join(folder, 'tokenizer_config.json'),
      field: 'tokenizer_class',
      found: named ?? 'none',
      expected: 'CLIPTokenizer or Qwen2Tokenizer, where there is no tokenizer.json',
    })
  }
  const beside = isClip ? clip(vocab) : QWEN
  return {
    ...beside,
    decoder: byteLevel,
    added_tokens: [...(await addedTokens(folder, added, vocab, isClip))].map(([id, content]) => ({
      id,
      content,
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    })),
    model: { type: 'BPE', ...beside.model, vocab, merges: merges.map((line) => line.split(' ')) },
  }
}

const CLIP_START = '<|startoftext|>'
const CLIP_END = '<|endoftext|>'

const split = (pattern: string, behavior: string, invert: boolean): object => ({
  type: 'Split',
  pattern: { Regex: pattern },
  behavior,
  invert,
})
const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true }

const clip = (vocab: Record<string, number>): Outline => ({
  normalizer: {
    type: 'Sequence',
    normalizers: [
      { type: 'NFC' },
      { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' },
      { type: 'Lowercase' },
    ],
  },
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      split(
        "<\\|startoftext\\|>|<\\|endoftext\\|>|'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+",
        'Removed',
        true,
      ),
      { ...byteLevel, use_regex: true },
    ],
  },
  post_processor: {
    type: 'RobertaProcessing',
    sep: [CLIP_END, vocab[CLIP_END]],
    cls: [CLIP_START, vocab[CLIP_START]],
    trim_offsets: false,
    add_prefix_space: false,
  },
  model: { unk_token: CLIP_END, continuing_subword_prefix: '', end_of_word_suffix: '</w>', fuse_unk: false },
})

const QWEN: Outline = {
  normalizer: { type: 'NFC' },
  pre_tokenizer: {
    type: 'Sequence',
    pretokenizers: [
      split(
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
        'Isolated',
        false,
      ),
      { ...byteLevel, use_regex: false },
    ],
  },
  post_processor: { ...byteLevel, use_regex: false },
  model: { unk_token: null, continuing_subword_prefix: '', end_of_word_suffix: '', fuse_unk: false },
}

interface Outline {
  readonly normalizer: object
  readonly pre_tokenizer: object
  readonly post_processor: object
  readonly model: object
}

/** Of the config, else of added_tokens.json, else CLIP's two. */
async function addedTokens(
  folder: string,
  named: ReadonlyMap<number, string>,
  vocab: Record<string, number>,
  isClip: boolean,
): Promise<ReadonlyMap<number, string>> {
  if (named.size > 0) return named
  const file = join(folder, 'added_tokens.json')
  const text = await readFile(file, 'utf8').catch(() => undefined)
  if (text !== undefined) {
    const ids = check(file, z.record(z.string(), z.int().nonnegative()), parse(file, text))
    return new Map(Object.entries(ids).map(([content, id]) => [id, content]))
  }
  if (!isClip) return new Map()
  return new Map(
    [CLIP_START, CLIP_END].flatMap((name) => (vocab[name] === undefined ? [] : [[vocab[name], name]])),
  )
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new TokenizerError({ file, found: 'nothing', expected: 'it beside vocab.json' }, { cause })
  }
}

const readJson = async (file: string): Promise<unknown> => parse(file, await readText(file))

function parse(file: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new TokenizerError({ file, found: 'no JSON', expected: 'a vocabulary: token -> id' }, { cause })
  }
}

function check<T>(file: string, schema: z.ZodType<T>, json: unknown): T {
  const result = schema.safeParse(json)
  if (result.success) return result.data
  const { path, message } = result.error.issues[0]!
  const field = path.join('.') || undefined
  throw new TokenizerError({ file, field, found: message, expected: 'a vocabulary: token -> id' })
}
