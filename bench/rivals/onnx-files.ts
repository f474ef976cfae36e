/** The slice's weights as onnxruntime wants them in each precision, quantised as its own tools do it. */
import { existsSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import proto from 'onnx-proto'
import { encoderGraph, GROUP, modelProto, type Initializer, type OnnxPrecision } from './onnx.js'
import { bucketOf, SIZES, SLICE, sizeName, weight, type Size } from './slice.js'

const { ModelProto } = proto.onnx

/** Writes what is not there yet to `folder`. @returns the model's file */
export async function onnxModel(
  folder: string,
  slice: string,
  precision: OnnxPrecision,
  size: Size,
): Promise<string> {
  const data = join(folder, 'data')
  await mkdir(data, { recursive: true })
  const { initializers } = encoderGraph(SLICE, precision, size).graph
  for (const initializer of initializers) {
    const file = join(data, initializer.name)
    if (existsSync(file)) continue
    const parts = await initializerData(initializer, slice)
    // the one that names the rest last: what was cut short is made again
    for (const [name, values] of Object.entries(parts).toReversed()) await writeFile(join(data, name), values)
  }
  const file = join(folder, `${precision}-${sizeName(size)}.onnx`)
  const model = ModelProto.fromObject(modelProto(SLICE, precision, size, 'data'))
  await writeFile(file, ModelProto.encode(model).finish())
  return file
}

type Bytes = Float32Array | Int8Array | Uint8Array

async function initializerData({ name, dims }: Initializer, slice: string): Promise<Record<string, Bytes>> {
  if (name.startsWith('bias.')) return { [name]: await biasMatrix(slice, dims[2]!) }
  const [, tensor, form] = /^(.*?weight)(?:\.(f32|int8|int4))?/.exec(name)!
  const values = await weight(slice, tensor!)
  if (form === undefined) return { [name]: values }
  if (form === 'f32') return { [name]: transpose(values, dims[1]!, new Float32Array(values.length)) }
  if (form === 'int8') return int8(`${tensor}.int8`, values, dims[1]!)
  return int4(`${tensor}.int4`, values)
}

/** [1, heads, tokens, tokens] */
async function biasMatrix(slice: string, tokens: number): Promise<Float32Array> {
  const { heads } = SIZES
  const table = await weight(slice, 'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight')
  const out = new Float32Array(heads * tokens * tokens)
  for (let query = 0; query < tokens; query++) {
    for (let key = 0; key < tokens; key++) {
      const row = heads * bucketOf(key - query, SIZES)
      for (let head = 0; head < heads; head++)
        out[(head * tokens + query) * tokens + key] = table[row + head]!
    }
  }
  return out
}

/** [rows, columns] to [columns, rows], in tiles that stay in cache. */
function transpose<T extends Float32Array | Int8Array>(from: T, rows: number, to: T): T {
  const columns = from.length / rows
  const tile = 64
  for (let r0 = 0; r0 < rows; r0 += tile) {
    for (let c = 0; c < columns; c++) {
      for (let r = r0; r < r0 + tile; r++) to[c * rows + r] = from[r * columns + c]!
    }
  }
  return to
}

/** As quantize_dynamic(per_channel=True) has it: symmetric, one scale an output channel. @param out rows of `values` */
function int8(name: string, values: Float32Array, out: number): Record<string, Bytes> {
  const deep = values.length / out
  const scales = new Float32Array(out)
  const rows = new Int8Array(values.length)
  for (let row = 0; row < out; row++) {
    const begin = row * deep
    let most = 0
    for (let i = begin; i < begin + deep; i++) most = Math.max(most, Math.abs(values[i]!))
    scales[row] = most / 127
    for (let i = begin; i < begin + deep; i++) rows[i] = Math.round((values[i]! / most) * 127)
  }
  const weights = transpose(rows, out, new Int8Array(rows.length))
  return { [name]: weights, [`${name}.scale`]: scales, [`${name}.zero`]: new Int8Array(out) }
}

/** As MatMulNBitsQuantizer(is_symmetric=True) has it: the largest of 32 becomes -8, the zero is 8; low nibble first. */
function int4(name: string, values: Float32Array): Record<string, Bytes> {
  const scales = new Float32Array(values.length / GROUP)
  const nibbles = new Uint8Array(values.length / 2)
  for (let group = 0; group < scales.length; group++) {
    const begin = group * GROUP
    let most = 0
    for (let i = begin; i < begin + GROUP; i++) if (Math.abs(values[i]!) > Math.abs(most)) most = values[i]!
    const scale = most / -8
    scales[group] = scale
    const code = (i: number): number => Math.min(15, Math.max(0, Math.round(values[i]! / scale) + 8))
    for (let i = begin; i < begin + GROUP; i += 2) nibbles[i / 2] = code(i) | (code(i + 1) << 4)
  }
  return { [name]: nibbles, [`${name}.scale`]: scales }
}
