import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { openCheckpoint } from '../../src/checkpoint/open.js'
import { CheckpointError } from '../../src/errors.js'
import { GOLDEN, rawTensors, rejection, temporaryFolder, writeRaw, type RawTensor } from './helpers.js'

// Files of other tools that are not read: the error names the format and the way out.

const V10 = join(GOLDEN, 't5-tiny-v10')
const tensors = await rawTensors(join(V10, 'bf16/model.safetensors'))
const Q = 'encoder.block.0.layer.0.SelfAttention.q'

async function message(path: string): Promise<string> {
  const error = await rejection(openCheckpoint(path))
  expect(error).toBeInstanceOf(CheckpointError)
  return error.message
}

/** A file whose q of block 0 is stored otherwise. */
async function withQ(stored: readonly RawTensor[], metadata?: unknown): Promise<string> {
  const others = tensors.filter(({ name }) => name !== `${Q}.weight`)
  return writeRaw(join(await temporaryFolder(), 'm.safetensors'), [...others, ...stored], { metadata })
}
const raw = (suffix: string, dtype: string, shape: number[], bytes: number): RawTensor => ({
  name: `${Q}.${suffix}`,
  dtype,
  shape,
  data: new Uint8Array(bytes),
})
const note = (text: string): RawTensor => ({
  name: `${Q}.comfy_quant`,
  dtype: 'U8',
  shape: [text.length],
  data: Buffer.from(text),
})
const I8 = raw('weight', 'I8', [32, 32], 1024)
const U8 = raw('weight', 'U8', [512, 1], 512)
const F8 = raw('weight', 'F8_E4M3', [32, 32], 1024)
const FACTOR: RawTensor = {
  ...raw('weight_scale', 'F32', [], 4),
  data: new Uint8Array(Float32Array.of(2).buffer),
}

describe('a quantised matrix is named by its format', () => {
  const formats: [string, RawTensor[], string][] = [
    [
      'NF4',
      [U8, raw('weight.absmax', 'F32', [16], 64), raw('weight.quant_state.bitsandbytes__nf4', 'U8', [2], 2)],
      'bitsandbytes NF4',
    ],
    ['FP4', [U8, raw('weight.quant_state.bitsandbytes__fp4', 'U8', [2], 2)], 'bitsandbytes FP4'],
    ['NF4 without its state', [U8, raw('weight.absmax', 'F32', [16], 64)], 'bitsandbytes'],
    [
      'LLM.int8',
      [I8, raw('SCB', 'F32', [32], 128), raw('weight_format', 'U8', [], 1)],
      'bitsandbytes LLM.int8',
    ],
    [
      'quanto',
      [raw('weight._data', 'I8', [32, 32], 1024), raw('weight._scale', 'BF16', [32, 1], 64)],
      'optimum-quanto',
    ],
    [
      'quanto in 4 bits',
      [raw('weight._data', 'U8', [16, 32], 512), raw('weight._shift', 'I8', [32, 1], 32)],
      'optimum-quanto',
    ],
    [
      'ComfyUI, nvfp4',
      [
        raw('weight', 'U8', [32, 16], 512),
        raw('weight_scale', 'F8_E4M3', [32, 2], 64),
        note('{"format": "nvfp4"}'),
      ],
      '"nvfp4"',
    ],
    [
      'NVFP4 without a note',
      [raw('weight', 'U8', [32, 16], 512), raw('weight_scale_2', 'F32', [], 4)],
      'NVFP4',
    ],
    ['ComfyUI, int8', [I8, FACTOR, note('{"format": "int8_tensorwise"}')], '"int8_tensorwise"'],
    [
      'ComfyUI, mxfp8',
      [F8, raw('weight_scale', 'F8_E8M0', [32, 1], 32), note('{"format": "mxfp8"}')],
      '"mxfp8"',
    ],
    ['GPTQ', [raw('qweight', 'I32', [4, 32], 512), raw('g_idx', 'I32', [32], 128)], 'GPTQ or AWQ'],
    ['compressed-tensors', [raw('weight_packed', 'I32', [32, 4], 512)], 'compressed-tensors'],
    ['fp8 in blocks', [F8, raw('weight_scale_inv', 'F32', [1, 1], 4)], 'fp8 with a scale for each block'],
    [
      'a note of nothing',
      [F8, FACTOR, note('{}')],
      'comfy_quant: found "{}", expected JSON that names a format',
    ],
  ]
  it.each(formats)('%s', async (_, stored, expected) => {
    const text = await message(await withQ(stored))
    expect(text).toContain(expected)
    expect(text).toContain(Q)
  })
  it.each([
    ['I8', I8],
    ['U8', U8],
    ['F4', raw('weight', 'F4', [32, 32], 512)],
  ])('%s alone by its type', async (dtype, stored) => {
    expect(await message(await withQ([stored]))).toContain(`${Q}.weight: found ${dtype}, expected one of F32`)
  })
})

describe('a quantised matrix without its scale is never read as plain numbers', () => {
  const noted = note('{"format": "float8_e4m3fn"}')
  const listed = (format: string) => ({
    _quantization_metadata: JSON.stringify({ format_version: '1.0', layers: { [Q]: { format } } }),
  })
  it('with its scale it is read', async () => {
    await expect(openCheckpoint(await withQ([F8, FACTOR, noted]))).resolves.toBeDefined()
    await expect(openCheckpoint(await withQ([F8, FACTOR], listed('float8_e4m3fn')))).resolves.toBeDefined()
    await expect(openCheckpoint(await withQ([F8]))).resolves.toBeDefined()
  })
  it('a note or the metadata says that there is one', async () => {
    const expected = `${Q}.weight: found ComfyUI's float8_e4m3fn without a scale`
    expect(await message(await withQ([F8, noted]))).toContain(expected)
    expect(await message(await withQ([F8], listed('float8_e4m3fn')))).toContain(expected)
    expect(await message(await withQ([F8, FACTOR], listed('nvfp4')))).toContain('ComfyUI as "nvfp4"')
  })
  it('config.json says that there is one', async () => {
    const folder = await temporaryFolder()
    const config = JSON.parse(await readFile(join(V10, 'config.json'), 'utf8')) as object
    const json = { ...config, quantization_config: { quant_method: 'fbgemm_fp8' } }
    await writeFile(join(folder, 'config.json'), JSON.stringify(json))
    await cp(await withQ([F8]), join(folder, 'model.safetensors'))
    expect(await message(folder)).toContain('found a matrix quantised by fbgemm_fp8')
  })
})

describe('an adapter', () => {
  const lora = [
    raw('lora_A.default.weight', 'BF16', [2, 32], 128),
    raw('lora_B.default.weight', 'BF16', [32, 2], 128),
  ]
  const prefixed = (list: readonly RawTensor[]) =>
    list.map((t) => ({ ...t, name: `base_model.model.${t.name}` }))
  const write = async (list: readonly RawTensor[]) =>
    writeRaw(join(await temporaryFolder(), 'peft.safetensors'), list)

  it('that is not merged says: merge it first', async () => {
    const wrapped = tensors.map((t) =>
      t.name === `${Q}.weight` ? { ...t, name: `${Q}.base_layer.weight` } : t,
    )
    for (const file of [await write(prefixed([...wrapped, ...lora])), await write([...tensors, ...lora])]) {
      const text = await message(file)
      expect(text).toContain('found a PEFT model with an unmerged LoRA')
      expect(text).toContain('Merge it first')
    }
  })
  it('alone is no model', async () => {
    expect(await message(await write(prefixed(lora)))).toContain(
      'found a LoRA (weight differences, not a model)',
    )
    const folder = await temporaryFolder()
    await writeFile(join(folder, 'adapter_config.json'), '{}')
    expect(await message(folder)).toContain('a PEFT adapter alone')
  })
})

describe('PyTorch pickles come with a way out', () => {
  it.each(['pytorch_model.bin', 'models_t5_umt5-xxl-enc-bf16.pth', 'model.pt'])('%s', async (name) => {
    const folder = join(await temporaryFolder(), 't5')
    await mkdir(folder)
    await writeFile(join(folder, name), 'PK\x03\x04aaaaaaaaaaaa')
    const expected = ['save_pretrained()', 'comfyanonymous/flux_text_encoders']
    for (const part of expected) expect(await message(folder)).toContain(part)
    for (const part of expected) expect(await message(join(folder, name))).toContain(part)
    await cp(join(V10, 'config.json'), join(folder, 'config.json'))
    for (const part of [name, ...expected]) expect(await message(folder)).toContain(part)
  })
})
