import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import { TokenizerError } from '../../errors.js'

/** What stands beside a tokenizer, in tokenizer_config.json and special_tokens_map.json. */
export interface TokenizerConfig {
  readonly class: string | undefined
  readonly pad: string | undefined
  readonly eos: string | undefined
  readonly padSide: 'left' | 'right'
  readonly maxLength: number | undefined
  /** Special tokens of a vocabulary without tokenizer.json, by their ids. */
  readonly added: ReadonlyMap<number, string>
}

/** Gemma 3's, with 6,415 added tokens, has 1.1 MB. */
const MAX_BYTES = 8 << 20
/** transformers writes 1e30 where there is no limit. */
const NO_LIMIT = 1 << 30

const token = z
  .union([z.string(), z.looseObject({ content: z.string() }).transform(({ content }) => content)])
  .nullish()
const schema = z.looseObject({
  tokenizer_class: z.string().nullish(),
  pad_token: token,
  eos_token: token,
  padding_side: z.enum(['left', 'right']).nullish(),
  model_max_length: z.number().positive().nullish(),
  added_tokens_decoder: z.record(z.string(), z.looseObject({ content: z.string() })).nullish(),
})

/** @param file the tokenizer's own. @throws TokenizerError for files that are there and cannot be used */
export async function readConfig(file: string): Promise<TokenizerConfig> {
  const folder = dirname(file)
  const config = await readOne(join(folder, 'tokenizer_config.json'))
  const map = await readOne(join(folder, 'special_tokens_map.json'))
  const limit = config.model_max_length
  return {
    class: config.tokenizer_class ?? undefined,
    pad: config.pad_token ?? map.pad_token ?? undefined,
    eos: config.eos_token ?? map.eos_token ?? undefined,
    // transformers' defaults
    padSide: config.padding_side ?? (config.tokenizer_class?.startsWith('GemmaTokenizer') ? 'left' : 'right'),
    maxLength: typeof limit === 'number' && limit < NO_LIMIT ? limit : undefined,
    added: new Map(
      Object.entries(config.added_tokens_decoder ?? {}).map(([id, { content }]) => [Number(id), content]),
    ),
  }
}

async function readOne(file: string): Promise<Partial<z.output<typeof schema>>> {
  const found = await stat(file).catch(() => undefined)
  if (found === undefined) return {}
  if (!found.isFile() || found.size > MAX_BYTES) {
    throw new TokenizerError({
      file,
      found: found.isFile() ? `${found.size} bytes` : 'no regular file',
      expected: `a file of at most ${MAX_BYTES} bytes`,
    })
  }
  let json: unknown
  try {
    json = JSON.parse(await readFile(file, 'utf8'))
  } catch (cause) {
    throw new TokenizerError({ file, found: 'no JSON', expected: 'a JSON object' }, { cause })
  }
  const result = schema.safeParse(json)
  if (result.success) return result.data
  const { path, message } = result.error.issues[0]!
  throw new TokenizerError({
    file,
    field: path.join('.') || undefined,
    found: message,
    expected: 'as transformers writes it',
  })
}
