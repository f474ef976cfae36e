/**
 * The slice for llama.cpp: a GGUF file (version 3) of its `t5encoder` architecture, matrices in BF16, Q8_0 or Q4_0 as
 * `llama-quantize --pure` makes them, norms and the bias table in F32, no vocabulary (token ids come from us).
 *
 *     "GGUF", version, tensors, pairs | key, type, value ... | name, dims (innermost first), type, offset ... | pad | data
 */
import { existsSync } from 'node:fs'
import { open, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { floatToF16, fromFloat32 } from '../../src/model/half.js'
import { tensorsOf, type TensorSpec } from '../../src/families/index.js'
import { isAttention } from '../../src/model/architecture.js'
import { SIZES, SLICE, weight } from './slice.js'

export type GgufPrecision = 'bf16' | 'q8_0' | 'q4_0'

const ALIGN = 32
/** Weights in one group of Q8_0 and Q4_0. */
const GROUP = 32

type Encode = (values: Float32Array) => Uint8Array
interface Format {
  /** ggml_type */
  readonly id: number
  readonly bytes: (values: number) => number
  readonly encode: Encode
}

const F32: Format = { id: 0, bytes: (n) => 4 * n, encode: (values) => fromFloat32('F32', values) }
const FORMATS: Record<GgufPrecision, Format> = {
  bf16: { id: 30, bytes: (n) => 2 * n, encode: (values) => fromFloat32('BF16', values) },
  q8_0: { id: 8, bytes: (n) => (n / GROUP) * 34, encode: q8 },
  q4_0: { id: 2, bytes: (n) => (n / GROUP) * 18, encode: q4 },
}

/** Groups of a float16 scale and 32 bytes. */
function q8(values: Float32Array): Uint8Array {
  const out = Buffer.alloc(FORMATS.q8_0.bytes(values.length))
  for (let begin = 0, at = 0; begin < values.length; begin += GROUP) {
    let most = 0
    for (let i = begin; i < begin + GROUP; i++) most = Math.max(most, Math.abs(values[i]!))
    const scale = most / 127
    at = out.writeUInt16LE(floatToF16(scale), at)
    for (let i = begin; i < begin + GROUP; i++) out[at++] = Math.round(values[i]! / scale)
  }
  return out
}

/** Groups of a float16 scale and 16 bytes: value i in the low nibbles, i + 16 in the high ones; the zero is 8. */
function q4(values: Float32Array): Uint8Array {
  const out = Buffer.alloc(FORMATS.q4_0.bytes(values.length))
  for (let begin = 0, at = 0; begin < values.length; begin += GROUP) {
    let most = 0
    for (let i = begin; i < begin + GROUP; i++) if (Math.abs(values[i]!) > Math.abs(most)) most = values[i]!
    const scale = most / -8
    const code = (i: number): number => Math.min(15, Math.floor(values[i]! / scale + 8.5))
    at = out.writeUInt16LE(floatToF16(scale), at)
    for (let i = begin; i < begin + GROUP / 2; i++) out[at++] = code(i) | (code(i + GROUP / 2) << 4)
  }
  return out
}

const NAMES: Partial<Record<TensorSpec['role'], string>> = {
  embedding: 'token_embd',
  finalNorm: 'enc.output_norm',
  q: 'attn_q',
  k: 'attn_k',
  v: 'attn_v',
  o: 'attn_o',
  distance: 'attn_rel_b',
  gate: 'ffn_gate',
  up: 'ffn_up',
  down: 'ffn_down',
}

interface Entry extends TensorSpec {
  readonly as: string
  readonly format: Format
}

function entries(precision: GgufPrecision): Entry[] {
  return tensorsOf(SLICE).map(({ subBlock, ...spec }) => {
    const { role, shape } = spec
    const norm = subBlock !== undefined && isAttention(subBlock) ? 'attn_norm' : 'ffn_norm'
    const name = `${NAMES[role] ?? norm}.weight`
    const as =
      role === 'embedding' || role === 'finalNorm' ? name : `enc.blk.${Math.floor(subBlock! / 2)}.${name}`
    return { ...spec, as, format: shape.length === 1 || role === 'distance' ? F32 : FORMATS[precision] }
  })
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}
const u64 = (value: number): Buffer => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
const f32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeFloatLE(value)
  return bytes
}
const text = (value: string): Buffer => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)])

/** Key-value pairs: text, BOOL, whole numbers as UINT32, `epsilon`s as FLOAT32. */
function pair(key: string, value: string | number | boolean): Buffer {
  if (typeof value === 'boolean') return Buffer.concat([text(key), u32(7), Buffer.from([Number(value)])])
  if (typeof value === 'string') return Buffer.concat([text(key), u32(8), text(value)])
  if (key.endsWith('epsilon')) return Buffer.concat([text(key), u32(6), f32(value)])
  return Buffer.concat([text(key), u32(4), u32(value)])
}

function header(tensors: readonly Entry[]): Buffer {
  const arch = 't5encoder'
  const settings = Object.entries({
    'general.architecture': arch,
    'tokenizer.ggml.model': 'no_vocab',
    [`${arch}.vocab_size`]: SIZES.vocab,
    [`${arch}.context_length`]: 1024,
    [`${arch}.embedding_length`]: SIZES.width,
    [`${arch}.feed_forward_length`]: SIZES.ff,
    [`${arch}.block_count`]: SIZES.blocks,
    [`${arch}.attention.head_count`]: SIZES.heads,
    [`${arch}.attention.key_length`]: SIZES.headDim,
    [`${arch}.attention.value_length`]: SIZES.headDim,
    [`${arch}.attention.relative_buckets_count`]: SIZES.buckets,
    [`${arch}.attention.causal`]: false, // llama_decode is causal without it
    [`${arch}.attention.layer_norm_epsilon`]: SIZES.epsilon,
    [`${arch}.attention.layer_norm_rms_epsilon`]: SIZES.epsilon,
  })
  let offset = 0
  const infos = tensors.map(({ as, shape, format }) => {
    const dims = shape.toReversed().map(u64)
    const info = [text(as), u32(dims.length), ...dims, u32(format.id), u64(offset)]
    offset += padded(format.bytes(elements(shape)))
    return Buffer.concat(info)
  })
  const parts = [
    Buffer.from('GGUF'),
    u32(3),
    u64(tensors.length),
    u64(settings.length),
    ...settings.map(([key, value]) => pair(key, value)),
    ...infos,
  ]
  const whole = Buffer.concat(parts)
  return Buffer.concat([whole, Buffer.alloc(padded(whole.length) - whole.length)])
}

const elements = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1)
const padded = (bytes: number): number => Math.ceil(bytes / ALIGN) * ALIGN

/** Writes the file unless it is there. @returns its path */
export async function ggufModel(folder: string, slice: string, precision: GgufPrecision): Promise<string> {
  const file = join(folder, `${precision}.gguf`)
  if (existsSync(file)) return file
  const tensors = entries(precision)
  const handle = await open(`${file}.partial`, 'w')
  try {
    await handle.writeFile(header(tensors))
    for (const { name, format } of tensors) {
      const bytes = format.encode(await weight(slice, name))
      await handle.writeFile(bytes)
      await handle.writeFile(new Uint8Array(padded(bytes.length) - bytes.length))
    }
  } finally {
    await handle.close()
  }
  await rename(`${file}.partial`, file)
  return file
}
