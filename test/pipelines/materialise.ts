import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { tokenizerFolder } from './tokenizers.js'

interface Expected {
  readonly encoders: Readonly<Record<string, { readonly folder: string }>>
  readonly tokenizers: Readonly<Record<string, { readonly kind: string }>>
}
interface Vocabulary {
  readonly ids: readonly number[]
  readonly vocab_size: number
  readonly config: string
  readonly embedding: string
}

/** The folder a user of diffusers has: encoders with their whole vocabulary, in which rows that the goldens do not use are zero. */
export function materialise(folder: string, out: string, tokenizers: string): void {
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Expected
  mkdirSync(out, { recursive: true })
  copyFileSync(join(folder, 'model_index.json'), join(out, 'model_index.json'))
  for (const [slot, of] of Object.entries(expected.encoders))
    encoder(resolve(folder, of.folder), join(out, slot))
  for (const [slot, { kind }] of Object.entries(expected.tokenizers)) {
    const from = tokenizerFolder(kind, tokenizers)
    mkdirSync(join(out, slot), { recursive: true })
    for (const name of filesOf(kind)) copyFileSync(join(from, name), join(out, slot, name))
  }
}

function filesOf(kind: string): string[] {
  if (kind === 'byt5') return ['tokenizer_config.json']
  if (kind.startsWith('clip'))
    return ['vocab.json', 'merges.txt', 'tokenizer_config.json', 'special_tokens_map.json']
  return ['tokenizer.json', 'tokenizer_config.json']
}

function encoder(from: string, to: string): void {
  mkdirSync(to, { recursive: true })
  const vocab = JSON.parse(readFileSync(join(from, 'vocab.json'), 'utf8')) as Vocabulary
  writeFileSync(join(to, 'config.json'), vocab.config)
  const file = readFileSync(join(from, 'model.safetensors'))
  const length = Number(file.readBigUInt64LE(0))
  type Header = Record<string, { shape: number[]; data_offsets: [number, number] }>
  const header = JSON.parse(file.subarray(8, 8 + length).toString('utf8')) as Header
  const tensors = Object.entries(header).filter(([name]) => name !== '__metadata__')
  const parts = tensors.map(
    ([
      name,
      {
        data_offsets: [begin, end],
        shape,
      },
    ]): [string, Buffer, number[]] => {
      const data = file.subarray(8 + length + begin, 8 + length + end)
      if (name !== vocab.embedding) return [name, data, shape]
      const row = data.length / shape[0]!
      const whole = Buffer.alloc(row * vocab.vocab_size)
      for (const [i, id] of vocab.ids.entries()) data.copy(whole, id * row, i * row, (i + 1) * row)
      return [name, whole, [vocab.vocab_size, ...shape.slice(1)]]
    },
  )
  let at = 0
  const next = parts.map(([name, data, shape]) => [
    name,
    { dtype: 'F32', shape, data_offsets: [at, (at += data.length)] },
  ])
  const text = Buffer.from(JSON.stringify(Object.fromEntries(next)))
  const size = Buffer.alloc(8)
  size.writeBigUInt64LE(BigInt(text.length))
  writeFileSync(join(to, 'model.safetensors'), Buffer.concat([size, text, ...parts.map(([, data]) => data)]))
}
