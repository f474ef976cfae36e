import { z } from 'zod'
import { CheckpointError } from '../errors.js'
import { show } from '../io/check.js'
import {
  attentionOf,
  feedForwardOf,
  type Architecture,
  type Attention,
  type Bias,
} from '../model/architecture.js'
import type { PlainEncoding } from '../model/encoding.js'
import { blocksOf } from '../model/parameters.js'
import {
  attentionOfConfig,
  causal,
  readDecoderConfig,
  unsupported,
  type DecoderConfig,
  type Defaults,
} from './decoder-config.js'
import { nameOfActivation, TORCH_DTYPES } from './hugging-face.js'
import { ropeOf, scalingToConfig } from './rope-config.js'

/** The model types of Llama's block: how their config.json is read and written. */

/** What an architecture is called: the model type of the class that takes an export. Text of a vision model is a plain one's. */
export const TITLES = {
  llama: 'Llama',
  mistral: 'Mistral',
  ministral3: 'Ministral 3',
  qwen2: 'Qwen 2',
  qwen3: 'Qwen 3',
  smollm3: 'SmolLM3',
  glm: 'GLM',
} as const
type Label = keyof typeof TITLES
export const LLAMA_LABELS = Object.keys(TITLES)

/** What classes of one label differ in, beside their defaults. */
interface Rules {
  readonly label: Label
  /** Of transformers' configuration_*.py; keys without a default there have none here. */
  readonly defaults: Defaults
  readonly theta?: number
  readonly partial?: number
}

const COMMON: Defaults = { hidden_act: 'silu', rms_norm_eps: 1e-6, max_position_embeddings: 32768 }
const LLAMA_7B: Defaults = {
  ...COMMON,
  vocab_size: 32000,
  hidden_size: 4096,
  intermediate_size: 11008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
}
const QWEN: Defaults = {
  ...LLAMA_7B,
  vocab_size: 151936,
  intermediate_size: 22016,
  num_key_value_heads: 32,
  sliding_window: 4096,
  max_window_layers: 28,
}
const QWEN2_5_VL: Defaults = {
  ...QWEN,
  vocab_size: 152064,
  hidden_size: 8192,
  intermediate_size: 29568,
  num_hidden_layers: 80,
  num_attention_heads: 64,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-5,
  max_window_layers: 80,
}
const YARN_16: Defaults = {
  rope_type: 'yarn',
  rope_theta: 1e6,
  factor: 16,
  original_max_position_embeddings: 16384,
  beta_fast: 32,
  beta_slow: 1,
  mscale: 1,
  mscale_all_dim: 1,
  llama_4_scaling_beta: 0.1,
}

const RULES: Readonly<Record<string, Rules>> = {
  llama: { label: 'llama', defaults: { ...LLAMA_7B, max_position_embeddings: 2048 } },
  mistral: {
    label: 'mistral',
    defaults: {
      ...LLAMA_7B,
      intermediate_size: 14336,
      num_key_value_heads: 8,
      sliding_window: 4096,
      max_position_embeddings: 131072,
    },
  },
  ministral3: {
    label: 'ministral3',
    defaults: {
      ...LLAMA_7B,
      vocab_size: 131072,
      intermediate_size: 14336,
      num_hidden_layers: 34,
      num_key_value_heads: 8,
      head_dim: 128,
      rms_norm_eps: 1e-5,
      max_position_embeddings: 262144,
      rope_parameters: YARN_16,
    },
  },
  qwen2: { label: 'qwen2', defaults: QWEN },
  qwen2_5_vl_text: { label: 'qwen2', defaults: QWEN2_5_VL, theta: 1e6 },
  qwen3: { label: 'qwen3', defaults: { ...QWEN, head_dim: 128 } },
  qwen3_vl_text: {
    label: 'qwen3',
    defaults: { ...QWEN, head_dim: 128, sliding_window: null, max_position_embeddings: 128000 },
    theta: 500000,
  },
  smollm3: {
    label: 'smollm3',
    defaults: {
      ...COMMON,
      vocab_size: 128256,
      hidden_size: 2048,
      intermediate_size: 11008,
      num_hidden_layers: 36,
      num_attention_heads: 16,
      num_key_value_heads: 4,
      no_rope_layer_interval: 4,
    },
    theta: 2e6,
  },
  glm: {
    label: 'glm',
    defaults: {
      ...LLAMA_7B,
      vocab_size: 151552,
      intermediate_size: 13696,
      num_hidden_layers: 40,
      num_key_value_heads: 2,
      head_dim: 128,
      rms_norm_eps: 1.5625e-7,
      attention_bias: true,
      max_position_embeddings: 131072,
    },
    partial: 0.5,
  },
}

/** Models with towers, whose text part is a config of its own; files of before 2025 have its keys beside the tower's. */
const WITH_TOWERS: Readonly<Record<string, string>> = {
  qwen2_5_vl: 'qwen2_5_vl_text',
  qwen3_vl: 'qwen3_vl_text',
  mistral3: 'mistral',
}
export const LLAMA_TYPES = [...Object.keys(RULES), ...Object.keys(WITH_TOWERS)]

/** Beginnings of class names. */
export const LLAMA_CLASSES: Readonly<Record<string, string>> = {
  Llama: 'llama',
  Mistral: 'mistral',
  Mistral3: 'mistral3',
  Ministral3: 'ministral3',
  Qwen2: 'qwen2',
  Qwen2_5_VL: 'qwen2_5_vl',
  Qwen3: 'qwen3',
  Qwen3VL: 'qwen3_vl',
  SmolLM3: 'smollm3',
  Glm: 'glm',
}

/** @throws CheckpointError */
export function llamaArchitecture(file: string, modelType: string, json: unknown): Architecture {
  const { at, type } = textPart(file, modelType, json)
  const { label, defaults, theta = 10000, partial } = RULES[type]!
  const text = at === '' ? json : (json as Record<string, unknown>)[at]
  const config = readDecoderConfig(file, text, { at, defaults })
  if (config.use_bidirectional_attention) {
    throw unsupported(config, 'use_bidirectional_attention', true, 'false')
  }
  const rope = ropeOf(config, 'full_attention', { theta, ...(partial !== undefined && { partial }) })
  if (rope.rotated !== undefined && label !== 'glm') {
    throw unsupported(config, 'partial_rotary_factor', rope.rotated / config.headDim, '1')
  }
  const interleaved = label === 'glm'
  const attention: Attention = {
    ...attentionOfConfig(config),
    bias: biasOf(label, config),
    ...(label === 'qwen3' && { headNorm: { kind: 'rms', epsilon: config.rms_norm_eps } }),
    scale: config.headDim ** -0.5,
    distance: causal(null),
    rope: { ...rope, ...(interleaved && { interleaved }) },
    unseeing: 'zero',
  }
  const norm = attention.norm
  const feedForward = {
    kind: 'feedForward',
    norm,
    inner: config.intermediate_size,
    gated: true,
    activation: config.activation,
    bias: (label === 'llama' || label === 'smollm3') && (config.mlp_bias ?? false),
  } as const
  const attentions = attentionsOf(label, config, attention)
  return {
    family: label,
    width: config.hidden_size,
    subBlocks: attentions.flatMap((each) => [each, feedForward]),
    input: { vocab: config.vocab_size },
    output: { norm, pooled: { row: 'last' } },
  }
}

/** Where the text model's keys are, and which model it is. */
function textPart(file: string, modelType: string, json: unknown): { at: string; type: string } {
  const inside = WITH_TOWERS[modelType]
  if (inside === undefined) return { at: '', type: modelType }
  const nested = z.object({ text_config: z.object({ model_type: z.string().optional() }) }).safeParse(json)
  if (!nested.success) return { at: '', type: inside }
  const named = nested.data.text_config.model_type ?? inside
  const type = named === modelType ? inside : named
  const isKnown = Object.hasOwn(RULES, type) && (type === inside || modelType === 'mistral3')
  if (isKnown) return { at: 'text_config', type }
  const expected = modelType === 'mistral3' ? 'mistral or ministral3' : inside
  throw new CheckpointError({ file, field: 'text_config.model_type', found: show(named), expected })
}

function biasOf(label: Label, { attention_bias: has = false }: DecoderConfig): Bias {
  if (label === 'qwen2') return 'qkv'
  if (label === 'mistral' || label === 'ministral3' || !has) return 'none'
  return label === 'glm' ? 'qkv' : 'all'
}

/** One for each block: equal ones are one object. */
function attentionsOf(label: Label, config: DecoderConfig, plain: Attention): Attention[] {
  const windows = windowsOf(label, config)
  const windowed = { ...plain, distance: causal(config.sliding_window) }
  const unrotated = unrotatedLike(plain)
  const unrotatedWindowed: Attention = { ...unrotated, distance: windowed.distance }
  return windows.map((isWindowed, i) => {
    if (label !== 'smollm3' || rotates(config, i)) return isWindowed ? windowed : plain
    return isWindowed ? unrotatedWindowed : unrotated
  })
}

function unrotatedLike(attention: Attention): Attention {
  const copy: { rope?: unknown } & Attention = { ...attention }
  delete copy.rope
  return copy
}

/** The key's name says the reverse of what it means: 1 is a layer with rotations. */
const rotates = (
  { no_rope_layers: layers, no_rope_layer_interval: every = 4 }: DecoderConfig,
  i: number,
): boolean => (layers == null ? (i + 1) % every !== 0 : layers[i] === 1)

/** Which layers see a window alone. */
function windowsOf(label: Label, config: DecoderConfig): boolean[] {
  const { sliding_window: window, layer_types: types, max_window_layers: from } = config
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i) => i)
  if (label === 'llama' || label === 'glm' || window == null) return layers.map(() => false)
  if (label === 'mistral' || label === 'ministral3') return layers.map(() => true)
  if (config.use_sliding_window !== true) return layers.map(() => false)
  if (types != null) return layers.map((i) => types[i] === 'sliding_attention')
  if (label === 'smollm3') return layers.map((i) => !rotates(config, i))
  return layers.map((i) => i >= (from ?? layers.length))
}

/** A config.json of the label's class, in keys that transformers 4 and 5 read. */
export function llamaConfig(a: Architecture, encoding: PlainEncoding): Record<string, unknown> {
  const label = a.family as Label
  const attentions = a.subBlocks.filter((s) => s.kind === 'attention')
  const attention = attentionOf(a)!
  const feedForward = feedForwardOf(a)!
  const back = attentions.find(({ distance }) => distance.back !== undefined)?.distance.back
  const layered = label === 'qwen2' || label === 'qwen3' || label === 'smollm3'
  const className = Object.keys(LLAMA_CLASSES).find((name) => LLAMA_CLASSES[name] === label)
  return {
    architectures: [`${className}Model`],
    model_type: label,
    hidden_size: a.width,
    intermediate_size: feedForward.inner,
    num_hidden_layers: blocksOf(a),
    num_attention_heads: attention.heads,
    num_key_value_heads: attention.keyHeads,
    head_dim: attention.headDim,
    hidden_act: nameOfActivation(feedForward.activation),
    rms_norm_eps: a.output.norm.epsilon,
    vocab_size: a.input.vocab,
    attention_bias: attention.bias !== 'none',
    mlp_bias: feedForward.bias,
    sliding_window: back === undefined ? null : back + 1,
    ...(layered && {
      use_sliding_window: back !== undefined,
      layer_types: attentions.map(({ distance }) =>
        distance.back === undefined ? 'full_attention' : 'sliding_attention',
      ),
    }),
    ...(label === 'smollm3' && {
      no_rope_layers: attentions.map(({ rope }) => (rope === undefined ? 0 : 1)),
    }),
    ...ropeConfig(attentions, label),
    tie_word_embeddings: true,
    use_cache: false,
    pad_token_id: null,
    torch_dtype: TORCH_DTYPES[encoding],
  }
}

function ropeConfig(attentions: readonly Attention[], label: Label): Record<string, unknown> {
  const rotating = attentions.find(({ rope }) => rope !== undefined)
  const rope = rotating?.rope
  if (rope === undefined) return { max_position_embeddings: 131072 }
  const scaling = rope.scaling && scalingToConfig(rope.scaling)
  const original = rope.scaling && 'originalPositions' in rope.scaling ? rope.scaling.originalPositions : 8192
  const beside = {
    max_position_embeddings: Math.ceil(original * (rope.scaling?.factor ?? 16)),
    ...(label === 'glm' && {
      partial_rotary_factor: (rope.rotated ?? rotating!.headDim) / rotating!.headDim,
    }),
  }
  if (label !== 'ministral3') return { ...beside, rope_theta: rope.theta, rope_scaling: scaling ?? null }
  const query = rope.query && {
    llama_4_scaling_beta: rope.query.beta,
    original_max_position_embeddings: rope.query.period,
  }
  return {
    ...beside,
    rope_parameters: { rope_type: 'default', ...scaling, ...query, rope_theta: rope.theta },
  }
}
