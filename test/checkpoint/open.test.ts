import { cp, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { DType } from '../../src/checkpoint/element-types.js'
import { floatToF8 } from '../../src/model/half.js'
import { openCheckpoint } from '../../src/checkpoint/open.js'
import { floatsOf, readTensors } from '../../src/checkpoint/tensor-file.js'
import { writeSafetensors, type TensorSource } from '../../src/export/write.js'
import { CheckpointError } from '../../src/errors.js'
import { blocksOf } from '../../src/model/parameters.js'
import { tensorsOf } from '../../src/families/index.js'
import { DATA, GOLDEN, fileWith, namedTensors, rejection, temporaryFolder } from './helpers.js'

const V10 = join(GOLDEN, 't5-tiny-v10')
const V11 = join(GOLDEN, 't5-tiny-v11')
const TOKENIZER = join(DATA, 'tokenizers/t5')
const Q0 = 'encoder.block.0.layer.0.SelfAttention.q.weight'

/** The tensors of a golden model, to be changed and written again. */
async function sources(file: string): Promise<TensorSource[]> {
  return [...(await readTensors(file))].map(([name, { dtype, shape, data }]) => ({
    name,
    dtype,
    shape,
    data: new Uint8Array(data.buffer),
  }))
}

/** A Hugging Face folder of the tiny T5 v1.1 with its tensors changed. */
async function folderWith(change: (tensors: TensorSource[]) => TensorSource[]): Promise<string> {
  const folder = await temporaryFolder()
  await cp(join(V11, 'config.json'), join(folder, 'config.json'))
  await writeSafetensors(
    join(folder, 'model.safetensors'),
    change(await sources(join(V11, 'model.safetensors'))),
  )
  return folder
}

async function pipeline(encoders: Record<string, string>): Promise<string> {
  const folder = await temporaryFolder()
  await writeFile(join(folder, 'model_index.json'), '{"_class_name": "FluxPipeline"}')
  for (const [name, golden] of Object.entries(encoders)) {
    await cp(join(GOLDEN, golden), join(folder, name), { recursive: true })
    await cp(TOKENIZER, join(folder, name.replace('text_encoder', 'tokenizer')), { recursive: true })
  }
  return folder
}

const message = async (path: string, textEncoder?: string): Promise<string> => {
  const error = await rejection(openCheckpoint(path, { textEncoder }))
  expect(error).toBeInstanceOf(CheckpointError)
  return error.message
}

describe('a Hugging Face folder', () => {
  it.each(['t5-tiny-v10', 't5-tiny-v11', 't5-odd', 'umt5-tiny', 't5-odd/bf16'])('%s', async (name) => {
    const checkpoint = await openCheckpoint(join(GOLDEN, name))
    const [specs, tensors] = [tensorsOf(checkpoint.architecture), namedTensors(checkpoint)]
    expect([...tensors.keys()].sort()).toEqual(specs.map((spec) => spec.name).sort())
    for (const spec of specs) expect(tensors.get(spec.name)?.shape).toEqual(spec.shape)
  })
  it('in shards has the same tensors as in one file', async () => {
    const whole = await openCheckpoint(join(V10, 'bf16'))
    const sharded = await openCheckpoint(join(V10, 'bf16-sharded'))
    expect(sharded.architecture).toEqual(whole.architecture)
    expect(new Set([...namedTensors(sharded).values()].map((t) => t.file)).size).toBe(4)
    const bytes = async ({ file, offset, bytes }: { file: string; offset: number; bytes: number }) =>
      (await readFile(file)).subarray(offset, offset + bytes)
    for (const [name, ref] of namedTensors(whole)) {
      expect((await bytes(namedTensors(sharded).get(name)!)).equals(await bytes(ref))).toBe(true)
    }
  })
  it('may hold only a diffusers variant', async () => {
    const folder = await temporaryFolder()
    await cp(join(V11, 'config.json'), join(folder, 'config.json'))
    await cp(join(V11, 'bf16/model.safetensors'), join(folder, 'model.fp16.safetensors'))
    expect(namedTensors(await openCheckpoint(folder)).get(Q0)?.encoding).toBe('BF16')
  })
  it('may be links, as in the Hugging Face cache', async () => {
    const folder = await temporaryFolder()
    for (const name of ['config.json', 'model.safetensors'])
      await symlink(join(V11, name), join(folder, name))
    expect(blocksOf((await openCheckpoint(folder)).architecture)).toBe(6)
  })
  it('without an embedding takes inputs_embeds only: its vocabulary is 0', async () => {
    const folder = await folderWith((all) => all.filter((t) => t.name !== 'shared.weight'))
    const { architecture, fixed } = await openCheckpoint(folder)
    expect(architecture.input.vocab).toBe(0)
    expect(fixed).not.toHaveProperty('embedding')
  })
  it('exported under a plan may lack whole sub-blocks, not parts of them', async () => {
    const lacking = (pattern: RegExp) => folderWith((all) => all.filter((t) => !pattern.test(t.name)))
    const whole = await lacking(/block\.3\.layer\.1\./)
    expect(await message(whole)).toContain('encoder.block.3.layer.1.layer_norm.weight: found no such tensor')
    await writeFile(join(whole, 'skrr-plan.json'), '{}')
    const { planPath, subBlocks } = await openCheckpoint(whole)
    expect(planPath).toBe(join(whole, 'skrr-plan.json'))
    expect(subBlocks[7]).toEqual({})
    const part = await lacking(/block\.3\.layer\.1\.DenseReluDense\.wo/)
    await writeFile(join(part, 'skrr-plan.json'), '{}')
    expect(await message(part)).toContain(
      'DenseReluDense.wo.weight: found no such tensor, expected one of shape [64, 160]',
    )
  })
})

describe('a single file', () => {
  it.each([
    'model.safetensors',
    'model-both-names.safetensors',
    'model-embed_tokens-only.safetensors',
    'model-full-t5-leftovers.safetensors',
  ])('with its config.json beside it: %s', async (name) => {
    const tensors = namedTensors(await openCheckpoint(join(V10, 'bf16', name)))
    const whole = await openCheckpoint(join(V10, 'bf16'))
    expect([...tensors.keys()]).toEqual([...namedTensors(whole).keys()])
    expect(tensors.get('shared.weight')?.shape).toEqual([256, 32])
  })
  it.each(['t5-tiny-v10', 't5-tiny-v11', 'umt5-tiny'])(
    'alone gives its architecture by shapes: %s',
    async (name) => {
      const file = join(await temporaryFolder(), 't5xxl_fp16.safetensors')
      await cp(join(GOLDEN, name, 'model.safetensors'), file)
      const alone = await openCheckpoint(file)
      expect(alone.architecture).toEqual((await openCheckpoint(join(GOLDEN, name))).architecture)
      expect(alone.tokenizerPath).toBeUndefined()
    },
  )
  it('in fp8 inside an all-in-one checkpoint, scaled, with a tokenizer in a tensor', async () => {
    const file = join(await temporaryFolder(), 'all.safetensors')
    const encoder: TensorSource[] = []
    for (const [name, tensor] of await readTensors(join(GOLDEN, 'umt5-tiny/model.safetensors'))) {
      const data = Uint8Array.from(floatsOf(tensor)!, floatToF8)
      encoder.push({ name, dtype: 'F8_E4M3', shape: tensor.shape, data })
    }
    const small = (name: string, dtype: DType, data: Uint8Array, shape: number[] = [data.length]) => ({
      name,
      dtype,
      shape,
      data,
    })
    const scale = (value: number) => new Uint8Array(Float32Array.of(value).buffer)
    await writeSafetensors(file, [
      ...encoder.map((t) => ({ ...t, name: `text_encoders.umt5xxl.transformer.${t.name}` })),
      small(
        `text_encoders.umt5xxl.transformer.${Q0.replace('.weight', '.scale_weight')}`,
        'F32',
        scale(0.25),
        [],
      ),
      small('text_encoders.umt5xxl.transformer.scaled_fp8', 'F8_E4M3', new Uint8Array(2)),
      small('text_encoders.umt5xxl.transformer.spiece_model', 'U8', new Uint8Array(9)),
      small('model.diffusion_model.blocks.0.weight', 'F16', new Uint8Array(4), [2]),
    ])
    const checkpoint = await openCheckpoint(file)
    const tensors = namedTensors(checkpoint)
    expect(checkpoint.architecture.family).toBe('umt5')
    expect(tensors.get(Q0)).toMatchObject({
      name: `text_encoders.umt5xxl.transformer.${Q0}`,
      encoding: 'F8_E4M3',
      scale: 0.25,
    })
    expect(tensors.get(Q0.replace('.q.', '.k.'))).not.toHaveProperty('scale')
  })
  it('finds the T5 tokenizer beside it, not CLIP’s', async () => {
    const folder = await temporaryFolder()
    const file = join(folder, 't5.safetensors')
    await cp(join(V11, 'model.safetensors'), file)
    await mkdir(join(folder, 'tokenizer'))
    for (const name of ['tokenizer.json', 'merges.txt']) await writeFile(join(folder, 'tokenizer', name), '')
    await cp(TOKENIZER, join(folder, 'tokenizer_2'), { recursive: true })
    expect((await openCheckpoint(file)).tokenizerPath).toBe(join(folder, 'tokenizer_2/tokenizer.json'))
    await rm(join(folder, 'tokenizer_2/tokenizer.json'))
    expect((await openCheckpoint(file)).tokenizerPath).toBe(join(folder, 'tokenizer_2/spiece.model'))
    await cp(join(TOKENIZER, 'spiece.model'), join(folder, 'spiece.model'))
    expect((await openCheckpoint(file)).tokenizerPath).toBe(join(folder, 'spiece.model'))
  })
})

describe('a diffusers pipeline', () => {
  it('has one T5: that is the one, with the tokenizer of its number', async () => {
    const folder = await pipeline({ text_encoder: 'clip-l-tiny', text_encoder_2: 't5-tiny-v11' })
    const { architecture, tokenizerPath, path } = await openCheckpoint(folder)
    expect(path).toBe(folder)
    expect(blocksOf(architecture)).toBe(6)
    expect(tokenizerPath).toBe(join(folder, 'tokenizer_2/tokenizer.json'))
    expect((await openCheckpoint(join(folder, 'text_encoder_2'))).tokenizerPath).toBe(tokenizerPath)
  })
  it('has two: one must be chosen', async () => {
    const folder = await pipeline({ text_encoder: 'umt5-tiny', text_encoder_2: 't5-tiny-v11' })
    expect(await message(folder)).toContain(
      'Choose one with the textEncoder option: text_encoder, text_encoder_2',
    )
    expect((await openCheckpoint(folder, { textEncoder: 'text_encoder' })).architecture.family).toBe('umt5')
    expect(await message(folder, '../elsewhere')).toContain(
      'found no ../elsewhere, expected one of text_encoder (umt5), text_encoder_2 (t5)',
    )
  })
  it('has none', async () => {
    const folder = await pipeline({ text_encoder: 'clip-l-tiny' })
    await writeFile(join(folder, 'text_encoder/config.json'), '{"model_type":"bert"}')
    expect(await message(folder)).toContain('found text_encoder (bert), expected one T5-family encoder')
    expect(await message(folder, 'text_encoder')).toContain('a BERT encoder')
  })
  it('is the only place to choose from', async () => {
    expect(await message(V11, 'text_encoder_2')).toContain('expected a diffusers pipeline folder')
  })
})

describe('what is no encoder says what it looks like', () => {
  const kinds: [string, string, string][] = [
    ['a LoRA', 'lora_unet_down_blocks_0.lora_up.weight', 'a LoRA'],
    ['a LoRA of a T5', 'text_encoders.t5xxl.encoder.q.lora_A.weight', 'a LoRA'],
    ['a UNet', 'down_blocks.0.resnets.0.conv1.weight', 'a UNet denoiser'],
    ['an SDXL file', 'model.diffusion_model.input_blocks.0.0.weight', 'a UNet denoiser and no T5'],
    [
      'an SD3 file',
      'model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight',
      'a transformer denoiser and no T5',
    ],
    ['FLUX', 'double_blocks.0.img_attn.qkv.weight', 'a transformer denoiser'],
    ['a diffusers transformer', 'transformer_blocks.0.attn.to_q.weight', 'a transformer denoiser'],
    ['a VAE', 'decoder.up_blocks.0.resnets.0.conv1.weight', 'a VAE'],
    ['an original VAE', 'encoder.down.0.block.0.conv1.weight', 'a VAE'],
    ['CLIP', 'text_model.encoder.layers.0.mlp.fc1.weight', 'a CLIP text encoder'],
    ['OpenCLIP', 'transformer.resblocks.0.attn.in_proj_weight', 'a CLIP text encoder'],
    ['an LLM', 'model.layers.0.self_attn.q_proj.weight', 'a decoder-only language model'],
    ['BERT', 'bert.encoder.layer.0.attention.self.query.weight', 'a BERT-like encoder'],
    ['Wan’s own UMT5', 'blocks.0.attn.q.weight', 'a UMT5 encoder under the tensor names of Wan'],
    ['a decoder', 'decoder.block.0.layer.0.SelfAttention.q.weight', 'the decoder of a T5'],
    ['something', 'foo', '1 tensors of an unknown model (foo)'],
  ]
  it.each(kinds)('%s', async (_, name, expected) => {
    const file = join(await temporaryFolder(), 'a.safetensors')
    await writeFile(file, fileWith({ [name]: { dtype: 'U8', shape: [1], data_offsets: [0, 1] } }, 1))
    expect(await message(file)).toContain(expected)
  })
  it('a folder with a pickle, one with nothing', async () => {
    const folder = await temporaryFolder()
    expect(await message(folder)).toContain('found no config.json')
    await cp(join(V11, 'config.json'), join(folder, 'config.json'))
    expect(await message(folder)).toContain(
      'found neither, expected model.safetensors or model.safetensors.index.json',
    )
    await writeFile(join(folder, 'pytorch_model.bin'), 'PK\x03\x04....')
    expect(await message(folder)).toContain('found pytorch_model.bin, a zip archive, as PyTorch pickles')
    expect(await message(join(folder, 'none'))).toContain('there is no such file or folder')
  })
})

describe('a checkpoint that does not fit itself', () => {
  const one = (name: string, change: Partial<TensorSource>) =>
    folderWith((all) => all.map((t) => (t.name === name ? { ...t, ...change } : t)))
  it('wrong shape', async () => {
    const folder = await one(Q0, { shape: [32, 128] })
    expect(await message(folder)).toContain(`${Q0}: found shape [32, 128], expected shape [64, 64]`)
  })
  it('a type that is no weight', async () => {
    const folder = await one(Q0, { dtype: 'I32' })
    expect(await message(folder)).toContain(`${Q0}: found I32, expected one of F32, F16, BF16, F8_E4M3`)
  })
  it('a missing tensor', async () => {
    const folder = await folderWith((all) => all.filter((t) => t.name !== Q0))
    expect(await message(folder)).toContain(
      `${folder}: ${Q0}: found no such tensor, expected one of shape [64, 64]`,
    )
  })
  it('more blocks than the config says, or tensors a T5 does not have', async () => {
    const folder = await one(Q0, { name: 'encoder.block.9.layer.0.SelfAttention.q.weight' })
    const more = await folderWith((all) => [...all, { ...all[0]!, name: Q0.replace('.weight', '.bias') }])
    expect(await message(folder)).toContain('found no such tensor')
    expect(await message(more)).toContain('q.bias: is not a tensor of a T5 encoder with 6 blocks')
  })
  it('a factor that is no factor', async () => {
    const scale = Q0.replace('.weight', '.scale_weight')
    const add = (value: number) =>
      folderWith((all) => [
        ...all,
        { name: scale, dtype: 'F32', shape: [1], data: new Uint8Array(Float32Array.of(value).buffer) },
      ])
    expect(namedTensors(await openCheckpoint(await add(2))).get(Q0)?.scale).toBe(2)
    expect(await message(await add(NaN))).toContain(`${scale}: found NaN, expected a finite factor above 0`)
  })
  it('two encoders in one file', async () => {
    const folder = await folderWith((all) => [...all, ...all.map((t) => ({ ...t, name: `b.${t.name}` }))])
    expect(await message(folder)).toContain('found 2 encoders, under "", "b."')
  })
  it('one shard of several', async () => {
    expect(await message(join(V10, 'bf16-sharded/model-00001-of-00004.safetensors'))).toContain(
      'name its folder',
    )
  })
})

describe('an index', () => {
  const sharded = async (change: (map: Record<string, unknown>) => unknown) => {
    const folder = await temporaryFolder()
    await cp(join(V10, 'bf16-sharded'), folder, { recursive: true })
    const file = join(folder, 'model.safetensors.index.json')
    const index = JSON.parse(await readFile(file, 'utf8')) as { weight_map: Record<string, unknown> }
    await writeFile(file, JSON.stringify(change(index.weight_map)))
    return folder
  }
  it('names every missing shard', async () => {
    const folder = await sharded((weight_map) => ({ weight_map }))
    await rm(join(folder, 'model-00002-of-00004.safetensors'))
    await rm(join(folder, 'model-00003-of-00004.safetensors'))
    expect(await message(folder)).toContain(
      'missing files (model-00002-of-00004.safetensors, model-00003-of-00004.safetensors)',
    )
  })
  it('must agree with its shards', async () => {
    const folder = await sharded((map) => ({
      weight_map: { ...map, 'shared.weight': 'model-00004-of-00004.safetensors' },
    }))
    expect(await message(folder)).toContain('weight_map.shared.weight: found no such tensor in model-00004')
  })
  it('must not lead out of its folder', async () => {
    for (const evil of ['../x.safetensors', '/etc/passwd', '..', 'a\\b', 3, null]) {
      const folder = await sharded((map) => ({ weight_map: { ...map, 'shared.weight': evil } }))
      expect(await message(folder)).toContain('weight_map.shared.weight: found')
    }
  })
  it('must be one', async () => {
    expect(await message(await sharded(() => []))).toContain('expected')
    expect(await message(await sharded(() => ({ weight_map: {} })))).toContain('weight_map: found no files')
  })
})
