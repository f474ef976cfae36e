import { cp } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { floatToF8, f8ToFloat } from '../../src/model/half.js'
import { floatsOf, readTensors } from '../../src/checkpoint/tensor-file.js'
import { writeSafetensors, type TensorSource } from '../../src/export/write.js'
import { Encoder } from '../../src/index.js'
import { PRECISIONS } from '../../src/model/precision.js'
import { keptFolder } from '../checkpoint/helpers.js'
import { golden, goldenCases } from '../golden.js'

// The engine reads ComfyUI's fp8 files, plain and scaled, as the numbers they mean, in every precision.

const V11 = golden('t5-tiny-v11')
const { input } = (await goldenCases('t5-tiny-v11'))[0]!
const folder = keptFolder()
const tensors = await readTensors(join(V11, 'model.safetensors'))

/** The factor of a scaled file's matrix, which fills fp8's range: the max becomes 448. */
const factorOf = (values: Float32Array): number =>
  Math.fround(values.reduce((max, x) => Math.max(max, Math.abs(x)), 0) / 448)

const bytes = (values: Float32Array): Uint8Array => new Uint8Array(values.buffer)
const rounded = (x: number): number => f8ToFloat(floatToF8(x))

/** Two files of the same numbers: fp8 as ComfyUI has it, and float32. */
async function write(
  name: string,
  { scaled, suffix = 'scale_weight', prefix = '' }: FileOptions,
): Promise<void> {
  const fp8: TensorSource[] = []
  const f32: TensorSource[] = []
  if (scaled) fp8.push({ name: `${prefix}scaled_fp8`, dtype: 'F8_E4M3', shape: [0], data: new Uint8Array() })
  for (const [key, tensor] of tensors) {
    const { shape } = tensor
    const values = floatsOf(tensor)!
    const factor = scaled && shape.length === 2 ? factorOf(values) : 1
    const data = Uint8Array.from(values, (x) => floatToF8(x / factor))
    fp8.push({ name: prefix + key, dtype: 'F8_E4M3', shape, data })
    f32.push({ name: key, dtype: 'F32', shape, data: bytes(values.map((x) => rounded(x / factor) * factor)) })
    if (factor === 1) continue
    const scale = prefix + key.replace('weight', suffix)
    fp8.push({ name: scale, dtype: 'F32', shape: [], data: bytes(Float32Array.of(factor)) })
  }
  await writeSafetensors(join(folder(), `${name}.safetensors`), fp8)
  await writeSafetensors(join(folder(), `${name}-f32.safetensors`), f32)
}

interface FileOptions {
  scaled: boolean
  suffix?: string
  prefix?: string
}

const FILES: Record<string, FileOptions> = {
  t5xxl_fp8_e4m3fn: { scaled: false },
  t5xxl_fp8_e4m3fn_scaled: { scaled: true },
  'all in one': { scaled: true, suffix: 'weight_scale', prefix: 'text_encoders.t5xxl.transformer.' },
}

describe.each(Object.keys(FILES))('%s', (name) => {
  const file = (suffix = ''): string => join(folder(), `${name}${suffix}.safetensors`)
  beforeAll(async () => {
    await cp(join(V11, 'config.json'), join(folder(), 'config.json'))
    await write(name, FILES[name]!)
  })

  it('is held in bf16 unless one says otherwise', async () => {
    await using encoder = await Encoder.load(file())
    expect(encoder.precision).toBe('bf16')
  })

  it.each(PRECISIONS)('gives in %s what its numbers in float32 give', async (precision) => {
    await using fp8 = await Encoder.load(file(), { precision })
    await using f32 = await Encoder.load(file('-f32'), { precision })
    expect(fp8.memory.weights).toBe(f32.memory.weights)
    expect((await fp8.encode(input)).embeddings).toEqual((await f32.encode(input)).embeddings)
  })
})
