import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { storedTensors, type Checkpoint } from '../../src/checkpoint/types.js'
import { writeSafetensors } from '../../src/export/write.js'
import { CheckpointError, openCheckpoint } from '../../src/index.js'
import { architectureFromConfig, familyOf, tensorsOf } from '../../src/families/index.js'
import { configText } from '../../src/families/hugging-face.js'
import type { Attention } from '../../src/model/architecture.js'
import { denseParameters } from '../../src/model/parameters.js'
import { fingerprint } from '../../src/model/fingerprint.js'
import { FORMS } from './family-forms.js'
import { GOLDEN, namedTensors, temporaryFolder } from './helpers.js'

type Json = Record<string, unknown>

const readConfig = async (...path: string[]): Promise<Json> =>
  JSON.parse(await readFile(join(GOLDEN, ...path), 'utf8')) as Json

/** Opens weights under a config.json, both of the golden folders. */
async function open(config: string, weights: string): Promise<Checkpoint> {
  return openCheckpoint(await folderOf(await readConfig(config), weights))
}

async function folderOf(config: Json, weights: string): Promise<string> {
  const folder = await temporaryFolder()
  await writeFile(join(folder, 'config.json'), JSON.stringify(config))
  await cp(join(GOLDEN, weights), join(folder, 'model.safetensors'))
  return folder
}

const message = async (path: string): Promise<string> => {
  const error: unknown = await openCheckpoint(path).catch((reason: unknown) => reason)
  expect(error).toBeInstanceOf(CheckpointError)
  return (error as Error).message
}

describe.each(Object.entries(FORMS))('%s', (_, forms) => {
  it('is one architecture, whatever generation wrote its config.json', async () => {
    const found = await Promise.all(forms.map(([config, weights]) => open(config, weights)))
    for (const { architecture } of found) expect(architecture).toEqual(found[0]!.architecture)
  })
  it.each(forms)('is found under %s and %s', async (config, weights, query) => {
    const { subBlocks } = await open(config, weights)
    expect(subBlocks[0]!.q!.name).toBe(query)
  })
  it('has the parameters of its tensors', async () => {
    const { architecture } = await open(forms[0]![0], forms[0]![1])
    const counted = tensorsOf(architecture).reduce(
      (sum, { shape }) => sum + shape.reduce((n, d) => n * d, 1),
      0,
    )
    expect(denseParameters(architecture)).toBe(counted)
  })
  it('survives the way to a config.json and back, with its fingerprint', async () => {
    const { architecture } = await open(forms[0]![0], forms[0]![1])
    const text = configText(familyOf(architecture).config(architecture, 'F32'))
    const back = architectureFromConfig('config.json', JSON.parse(text))
    expect(back).toEqual(architecture)
    expect(fingerprint(back)).toBe(fingerprint(architecture))
  })
})

describe('attributes', () => {
  const attentions = async (config: string): Promise<Attention[]> =>
    architectureFromConfig(config, await readConfig(config)).subBlocks.filter((s) => s.kind === 'attention')
  it('Gemma 2: a scale and a softcap of its own, windows in even layers', async () => {
    const found = await attentions('gemma2-tiny/config-v4.json')
    expect(found.map(({ distance }) => distance.back)).toEqual([15, undefined, 15, undefined, 15, undefined])
    expect(found[0]).toMatchObject({ scale: 24 ** -0.5, softcap: 8, unseeing: 'mean', keyHeads: 2 })
  })
  it('Gemma 3: one layer of six is global, with its own theta and scaling', async () => {
    const found = await attentions('gemma3-tiny/config-v4.json')
    expect(found.map(({ rope }) => rope!.theta)).toEqual([1e4, 1e4, 1e4, 1e4, 1e4, 1e6])
    expect(found[5]!.rope!.scaling).toEqual({ kind: 'linear', factor: 8 })
    expect(found[0]!.rope!.scaling).toBeUndefined()
    expect(found[0]).toMatchObject({ unseeing: 'zero', headNorm: { kind: 'rms', epsilon: 1e-6 } })
  })
  it('T5Gemma: both directions, an inclusive window, pads masked where no mask is given', async () => {
    const a = architectureFromConfig('c', await readConfig('t5gemma-tiny/config.json'))
    expect((a.subBlocks[0] as Attention).distance).toEqual({ ahead: 12, back: 12 })
    expect((a.subBlocks[2] as Attention).distance).toEqual({})
    expect(a.input).toEqual({ vocab: 160, scale: Math.sqrt(80), masked: 3 })
  })
  it('SmolLM3: no rotation in every fourth layer', async () => {
    const found = await attentions('smollm3-tiny/config.json')
    expect(found.map(({ rope }) => rope !== undefined)).toEqual([true, true, true, false, true, true])
  })
  it('GLM: half of a head rotated, in neighbours', async () => {
    const [first] = await attentions('glm-tiny/config.json')
    expect(first).toMatchObject({ bias: 'qkv', rope: { theta: 10000, rotated: 8, interleaved: true } })
  })
  it('Ministral 3: YaRN whose factors of cosines cancel, queries scaled by their positions', async () => {
    const [first] = await attentions('ministral3-tiny/config.json')
    expect(first!.rope).toEqual({
      theta: 10000,
      scaling: {
        kind: 'yarn',
        factor: 16,
        betaFast: 4,
        betaSlow: 0.5,
        originalPositions: 40,
        attentionFactor: 1,
      },
      query: { beta: 0.1, period: 40 },
    })
  })
  it('Mistral: the class’s window of 4096 where the file says none, none where it says null', async () => {
    const silent = { ...(await readConfig('mistral-tiny/config.json')), sliding_window: undefined }
    const [first] = architectureFromConfig('c', silent).subBlocks
    expect((first as Attention).distance).toEqual({ ahead: 0, back: 4095 })
    expect((await attentions('mistral-tiny/config.json'))[0]!.distance).toEqual({ ahead: 0 })
  })
  it('defaults of the classes fill what hub files leave out', () => {
    const a = architectureFromConfig('c', { model_type: 'gemma2' })
    expect(fingerprint(a)).toMatch(/^gemma2-26x2304-h8x256k4-ff9216-gated-gelu_tanh-/)
    expect(a.subBlocks[0]).toMatchObject({ scale: 1 / 16, softcap: 50, distance: { ahead: 0, back: 4095 } })
    const qwen = architectureFromConfig('c', { model_type: 'qwen3', rope_theta: 1e6 })
    expect(qwen.subBlocks[0]).toMatchObject({ headDim: 128, keyHeads: 32, rope: { theta: 1e6 } })
    const ministral = architectureFromConfig('c', { model_type: 'ministral3' })
    expect(ministral.subBlocks[0]).toMatchObject({ rope: { query: { beta: 0.1, period: 16384 } } })
    expect(architectureFromConfig('c', { model_type: 'glm' }).subBlocks[0]).toMatchObject({
      rope: { rotated: 64 },
    })
  })
  it('a class without model_type is known by its name', async () => {
    const rest = { ...(await readConfig('qwen3-tiny/config.json')), model_type: undefined }
    expect(architectureFromConfig('c', rest).family).toBe('qwen3')
    const gemma = { ...(await readConfig('gemma3-tiny/config.json')), model_type: undefined }
    expect(architectureFromConfig('c', gemma).family).toBe('gemma3')
  })
})

describe('tensors', () => {
  it('heads and towers of other modalities are left out', async () => {
    for (const [config, weights] of Object.values(FORMS).flat()) {
      const names = storedTensors(await open(config, weights)).map(({ ref }) => ref.name)
      expect(names.filter((name) => /lm_head|vis|projector/.test(name))).toEqual([])
    }
  })
  it('GLM’s gate and up are the halves of one', async () => {
    const { subBlocks } = await open('glm-tiny/config.json', 'glm-tiny/bf16/model.safetensors')
    const { gate, up } = subBlocks[1]!
    expect(gate).toMatchObject({
      name: 'model.layers.0.mlp.gate_up_proj.weight',
      shape: [40, 64],
      bytes: 5120,
    })
    expect(up!.offset - gate!.offset).toBe(5120)
  })
  it('Gemma’s norms have 1 added', async () => {
    const { fixed, subBlocks } = await open('gemma3-tiny/config.json', 'gemma3-tiny/bf16/model.safetensors')
    const { norm, postNorm, qNorm, kNorm, q } = subBlocks[0]!
    expect([fixed.finalNorm, norm, postNorm, qNorm, kNorm, q].map((ref) => ref!.plus)).toEqual([
      1,
      1,
      1,
      1,
      1,
      undefined,
    ])
  })
  it('CLIP as transformers 5 names it, with buffers, beside its tower of images', async () => {
    const tensors = await readTensors(join(GOLDEN, 'clip-l-tiny/model.safetensors'))
    const folder = await temporaryFolder()
    await cp(join(GOLDEN, 'clip-l-tiny/config.json'), join(folder, 'config.json'))
    const bytes = (data: { buffer: ArrayBufferLike; byteOffset: number; byteLength: number }): Uint8Array =>
      new Uint8Array(data.buffer, data.byteOffset, data.byteLength)
    const flat = [...tensors].map(([name, { shape, data }]) => ({
      name: name.replace('text_model.', ''),
      dtype: 'F32' as const,
      shape,
      data: bytes(data as Float32Array),
    }))
    const vision = { ...flat[2]!, name: 'vision_model.encoder.layers.0.layer_norm1.weight' }
    const buffer = {
      name: 'embeddings.position_ids',
      dtype: 'I64' as const,
      shape: [1, 1],
      data: new Uint8Array(8),
    }
    await writeSafetensors(join(folder, 'model.safetensors'), [...flat, vision, buffer])
    const q = namedTensors(await openCheckpoint(folder)).get(
      'text_model.encoder.layers.0.self_attn.q_proj.weight',
    )
    expect(q!.name).toBe('encoder.layers.0.self_attn.q_proj.weight')
  })
  it('CLIP’s projection where there is one', async () => {
    const { architecture, fixed } = await openCheckpoint(join(GOLDEN, 'clip-g-tiny'))
    expect(architecture.output).toMatchObject({ pooled: { row: 'argmax' }, projection: { width: 56 } })
    expect(fixed.projection!.shape).toEqual([56, 40])
    expect((await openCheckpoint(join(GOLDEN, 'clip-l-tiny'))).fixed.projection).toBeUndefined()
    const eos = await open('clip-g-tiny/config-eos129.json', 'clip-g-tiny/model.safetensors')
    expect(eos.architecture.output.pooled).toEqual({ row: 'firstEos', eos: 129 })
  })
  it('a tensor that the config.json knows nothing of is an error', async () => {
    const config = { ...(await readConfig('glm-tiny/config.json')), attention_bias: false }
    expect(await message(await folderOf(config, 'glm-tiny/bf16/model.safetensors'))).toContain(
      'k_proj.bias: is not a tensor of a GLM language model with 6 blocks',
    )
  })
})

describe('a file without config.json', () => {
  it('of a language model: its config.json is asked for', async () => {
    const file = join(await temporaryFolder(), 'qwen.safetensors')
    await cp(join(GOLDEN, 'qwen3-tiny/model.safetensors'), file)
    expect(await message(file)).toContain(
      'without a config.json, expected the config.json of its model beside it',
    )
    await cp(join(GOLDEN, 'qwen3-tiny/config.json'), join(dirname(file), 'config.json'))
    expect((await openCheckpoint(file)).architecture.family).toBe('qwen3')
  })
  it('of a CLIP that is none of the released ones', async () => {
    const file = join(await temporaryFolder(), 'clip.safetensors')
    await cp(join(GOLDEN, 'clip-l-tiny/model.safetensors'), file)
    expect(await message(file)).toContain('found width 48, expected one of 768, 1024, 1280')
  })
  it('beside another model’s config.json goes by its shapes', async () => {
    const folder = await temporaryFolder()
    await cp(join(GOLDEN, 't5-tiny-v11/model.safetensors'), join(folder, 't5.safetensors'))
    await cp(join(GOLDEN, 'qwen3-tiny/config.json'), join(folder, 'config.json'))
    expect((await openCheckpoint(join(folder, 't5.safetensors'))).architecture.family).toBe('t5')
  })
})

it('a pipeline’s large encoder is chosen before the CLIPs beside it', async () => {
  const folder = await temporaryFolder()
  await writeFile(join(folder, 'model_index.json'), '{}')
  for (const [name, model] of [
    ['text_encoder', 'clip-l-tiny'],
    ['text_encoder_2', 'clip-g-tiny'],
    ['text_encoder_3', 'qwen3-tiny'],
  ] as const) {
    await mkdir(join(folder, name))
    await cp(join(GOLDEN, model), join(folder, name), { recursive: true })
  }
  expect((await openCheckpoint(folder)).architecture.family).toBe('qwen3')
  const clip = await openCheckpoint(folder, { textEncoder: 'text_encoder_2' })
  expect(clip.architecture.width).toBe(40)
})

describe('what is refused, by name, with what to use', () => {
  it.each([
    ['bert', 'a BERT encoder'],
    ['chatglm', 'GLM-4 as transformers saves it'],
    ['gemma4', 'Gemma 2, Gemma 3 and T5Gemma can be used'],
    ['gemma4_text', 'a Gemma 4 language model'],
    ['gemma4_unified', 'a Gemma 4 language model'],
    ['gpt_oss', 'a mixture of experts'],
    ['t5gemma2', 'T5Gemma (model_type t5gemma) can be used'],
    ['t5gemma2_encoder', 'a T5Gemma 2 encoder'],
    ['jina_clip', 'a Jina CLIP model'],
    ['xlm-roberta', 'an XLM-RoBERTa encoder'],
    ['mllama', 'Llama 3.2 Vision'],
  ])('%s', (type, expected) => {
    const read = () => architectureFromConfig('config.json', { model_type: type })
    expect(read).toThrow(CheckpointError)
    expect(read).toThrow(expected)
  })
  const cases: [string, Json, string][] = [
    [
      'qwen3-tiny',
      { num_key_value_heads: 3 },
      'num_key_value_heads: found 3, expected a divisor of the 4 heads',
    ],
    ['qwen3-tiny', { head_dim: 7 }, 'head_dim: found 7, expected an even width'],
    ['qwen3-tiny', { hidden_act: 'mish' }, 'hidden_act: found "mish", expected one of'],
    ['qwen3-tiny', { layer_types: ['full_attention'] }, 'layer_types: found 1 entries, expected 6'],
    ['qwen3-tiny', { layer_types: ['linear_attention'] }, 'layer_types.0: found "linear_attention"'],
    ['qwen3-tiny', { num_hidden_layers: 1e9 }, 'num_hidden_layers: found 1000000000'],
    ['qwen3-tiny', { rms_norm_eps: 0 }, 'rms_norm_eps: found 0'],
    [
      'qwen3-tiny',
      { rope_parameters: { rope_type: 'longrope' } },
      'rope_parameters.rope_type: found "longrope"',
    ],
    ['qwen3-tiny', { rope_parameters: { rope_type: 'linear' } }, 'rope_parameters.factor: found nothing'],
    ['qwen3-tiny', { rope_parameters: { rope_theta: 0 } }, 'rope_parameters.rope_theta: found 0'],
    [
      'qwen3-tiny',
      { rope_parameters: { partial_rotary_factor: 0.5 } },
      'partial_rotary_factor: found 0.5, expected 1',
    ],
    ['glm-tiny', { rope_parameters: { partial_rotary_factor: 0.45 } }, 'found 7 of 16 channels rotated'],
    ['gemma3-tiny', { use_bidirectional_attention: true }, 'use_bidirectional_attention: found true'],
    ['gemma2-tiny', { query_pre_attn_scalar: 0 }, 'query_pre_attn_scalar: found 0'],
    [
      'clip-l-tiny',
      { num_attention_heads: 5 },
      'num_attention_heads: found 5, expected a divisor of the width 48',
    ],
    ['clip-l-tiny', { hidden_act: 3 }, 'hidden_act: found 3'],
  ]
  it.each(cases)('%s with %j', async (model, change, expected) => {
    const json = { ...(await readConfig(model, 'config.json')), ...change }
    const read = () => architectureFromConfig('config.json', json)
    expect(read).toThrow(CheckpointError)
    expect(read).toThrow(expected)
  })
  it('a text model of another kind inside a vision model', async () => {
    const json = await readConfig('mistral-tiny/bf16-nested/config.json')
    const text = { ...(json['text_config'] as Json), model_type: 'mamba' }
    expect(() => architectureFromConfig('c', { ...json, text_config: text })).toThrow(
      'text_config.model_type: found "mamba", expected mistral or ministral3',
    )
  })
})
