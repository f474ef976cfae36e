import { CheckpointError } from '../errors.js'
import { show } from '../io/check.js'
import {
  attentionOf,
  feedForwardOf,
  type Architecture,
  type Attention,
  type Distance,
  type Rope,
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
import { readRope, ropeOf, scalingToConfig } from './rope-config.js'

/** Gemma 2, Gemma 3 and the encoder of T5Gemma: how their config.json is read and written. */

export const TITLES = { gemma2: 'Gemma 2', gemma3: 'Gemma 3', t5gemma: 'T5Gemma' } as const
type Label = keyof typeof TITLES
export const GEMMA_LABELS = Object.keys(TITLES)

/** Model types, and the key under which the text model's fields are. */
const TYPES: Readonly<Record<string, { label: Label; at: string }>> = {
  gemma2: { label: 'gemma2', at: '' },
  gemma3: { label: 'gemma3', at: 'text_config' },
  gemma3_text: { label: 'gemma3', at: '' },
  t5gemma: { label: 't5gemma', at: 'encoder' },
}
export const GEMMA_TYPES = Object.keys(TYPES)

const COMMON: Defaults = {
  vocab_size: 256000,
  hidden_size: 2304,
  intermediate_size: 9216,
  num_hidden_layers: 26,
  num_attention_heads: 8,
  num_key_value_heads: 4,
  head_dim: 256,
  hidden_activation: 'gelu_pytorch_tanh',
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-6,
  query_pre_attn_scalar: 256,
  sliding_window: 4096,
}
const DEFAULTS: Readonly<Record<Label, Defaults>> = {
  gemma2: { ...COMMON, attn_logit_softcapping: 50, pad_token_id: 0 },
  gemma3: { ...COMMON, vocab_size: 262208, max_position_embeddings: 131072, pad_token_id: 0 },
  t5gemma: { ...COMMON, attn_logit_softcapping: 50, pad_token_id: 0 },
}

/** @throws CheckpointError */
export function gemmaArchitecture(file: string, modelType: string, json: unknown): Architecture {
  const { label, at } = TYPES[modelType]!
  const { [at]: nested } = json as Record<string, unknown>
  if (at !== '' && nested == null) {
    throw new CheckpointError({
      file,
      field: at,
      found: show(nested),
      expected: 'the fields of the text model',
    })
  }
  const config = readDecoderConfig(file, at === '' ? json : nested, { at, defaults: DEFAULTS[label] })
  if (config.use_bidirectional_attention) {
    throw unsupported(config, 'use_bidirectional_attention', true, 'false: embedding models are another kind')
  }
  const norm = { kind: 'rms', epsilon: config.rms_norm_eps } as const
  const feedForward = {
    kind: 'feedForward',
    norm,
    postNorm: norm,
    inner: config.intermediate_size,
    gated: true,
    activation: config.activation,
    bias: false,
  } as const
  const [local, global] = attentionsOf(label, config)
  const isLocal = localLayers(label, config)
  return {
    family: label,
    width: config.hidden_size,
    subBlocks: isLocal.flatMap((each) => [each ? local : global, feedForward]),
    input: {
      vocab: config.vocab_size,
      scale: Math.sqrt(config.hidden_size),
      // where no mask is given, it makes one of its pads (T5GemmaEncoder.forward)
      ...(label === 't5gemma' && config.pad_token_id != null && { masked: config.pad_token_id }),
    },
    output: { norm, pooled: { row: 'last' } },
  }
}

/** Its two kinds of attention. Gemma 2 and T5Gemma run eager attention in transformers, Gemma 3 sdpa. */
function attentionsOf(label: Label, config: DecoderConfig): [local: Attention, global: Attention] {
  const cap = config.attn_logit_softcapping
  const plain: Omit<Attention, 'distance' | 'rope'> = {
    ...attentionOfConfig(config),
    postNorm: { kind: 'rms', epsilon: config.rms_norm_eps },
    bias: config.attention_bias ? 'all' : 'none',
    ...(label === 'gemma3' && { headNorm: { kind: 'rms', epsilon: config.rms_norm_eps } }),
    scale: config.query_pre_attn_scalar! ** -0.5,
    ...(cap != null && { softcap: cap }),
    unseeing: label === 'gemma3' ? 'zero' : 'mean',
  }
  const ropes = ropesOf(label, config)
  return [
    { ...plain, distance: windowOf(label, config), rope: ropes.local },
    { ...plain, distance: label === 't5gemma' ? {} : causal(null), rope: ropes.global },
  ]
}

/** T5Gemma's window counts the keys on either side, the others' the keys up to the query, itself counted in. */
function windowOf(label: Label, { sliding_window: window }: DecoderConfig): Distance {
  if (label !== 't5gemma') return causal(window)
  return window == null ? {} : { ahead: window, back: window }
}

/** Gemma 3's layers with a window have a theta of their own and no scaling. */
function ropesOf(label: Label, config: DecoderConfig): { local: Rope; global: Rope } {
  const theta = label === 'gemma3' ? 1e6 : 1e4
  const global = ropeOf(config, 'full_attention', { theta })
  if (label !== 'gemma3') return { local: ropeOf(config, 'sliding_attention', { theta }), global }
  const given: unknown = config.rope_parameters?.['sliding_attention']
  const raw = typeof given === 'object' && given !== null ? given : {}
  const place = { file: config.file, field: `${config.at}rope_parameters.sliding_attention` }
  const beside = { rope_theta: config.rope_local_base_freq ?? 1e4, partial_rotary_factor: 1 }
  return { local: readRope(config, raw, place, beside), global }
}

function localLayers(label: Label, config: DecoderConfig): boolean[] {
  const { layer_types: types } = config
  const pattern = config.sliding_window_pattern ?? config._sliding_window_pattern ?? 6
  const every = label === 'gemma3' ? pattern : 2
  return Array.from({ length: config.num_hidden_layers }, (_, i) =>
    types == null ? (i + 1) % every !== 0 : types[i] === 'sliding_attention',
  )
}

const CLASSES: Readonly<Record<Label, { name: string; type: string }>> = {
  gemma2: { name: 'Gemma2Model', type: 'gemma2' },
  gemma3: { name: 'Gemma3TextModel', type: 'gemma3_text' },
  t5gemma: { name: 'T5GemmaEncoderModel', type: 't5gemma' },
}

/** A config.json of the label's class, in keys that transformers 4 and 5 read. */
export function gemmaConfig(a: Architecture, encoding: PlainEncoding): Record<string, unknown> {
  const label = a.family as Label
  const { name, type } = CLASSES[label]
  const head = { architectures: [name], model_type: type }
  const tail = { use_cache: false, torch_dtype: TORCH_DTYPES[encoding] }
  const text = textConfig(a, label)
  if (label !== 't5gemma') return { ...head, ...text, ...tail }
  const module = { model_type: 't5_gemma_module', ...text }
  return {
    ...head,
    encoder: { ...module, is_decoder: false },
    // the class wants one, and makes nothing of it
    decoder: { ...module, num_hidden_layers: 1, layer_types: ['full_attention'], is_decoder: true },
    is_encoder_decoder: false,
    vocab_size: a.input.vocab,
    pad_token_id: a.input.masked ?? null,
    tie_word_embeddings: true,
    ...tail,
  }
}

function textConfig(a: Architecture, label: Label): Record<string, unknown> {
  const attentions = a.subBlocks.filter((s) => s.kind === 'attention')
  const local = attentions.find(({ distance }) => distance.back !== undefined)
  const attention = attentionOf(a)!
  const back = local?.distance.back
  return {
    vocab_size: a.input.vocab,
    hidden_size: a.width,
    intermediate_size: feedForwardOf(a)!.inner,
    num_hidden_layers: blocksOf(a),
    num_attention_heads: attention.heads,
    num_key_value_heads: attention.keyHeads,
    head_dim: attention.headDim,
    hidden_activation: nameOfActivation(feedForwardOf(a)!.activation),
    rms_norm_eps: a.output.norm.epsilon,
    attention_bias: attention.bias !== 'none',
    query_pre_attn_scalar: scalarOf(attention.scale),
    attn_logit_softcapping: attention.softcap ?? null,
    final_logit_softcapping: null,
    sliding_window: back === undefined ? 4096 : label === 't5gemma' ? back : back + 1,
    layer_types: attentions.map((each) =>
      each.distance.back === undefined ? 'full_attention' : 'sliding_attention',
    ),
    max_position_embeddings: 131072,
    ...ropeConfig(attentions, label),
    tie_word_embeddings: true,
    pad_token_id: a.input.masked ?? null,
  }
}

/** scale is its root's inverse; whole numbers come back whole. */
function scalarOf(scale: number): number {
  const scalar = scale ** -2
  const whole = Math.round(scalar)
  return whole ** -0.5 === scale ? whole : scalar
}

function ropeConfig(attentions: readonly Attention[], label: Label): Record<string, unknown> {
  const of = (isLocal: boolean): Rope | undefined =>
    attentions.find(({ distance }) => (distance.back !== undefined) === isLocal)?.rope
  const [local, global] = [of(true), of(false)]
  const rope = global ?? local
  const scaling = rope?.scaling && scalingToConfig(rope.scaling)
  return {
    rope_theta: rope?.theta ?? 1e4,
    rope_scaling: scaling ?? null,
    ...(label === 'gemma3' && local && { rope_local_base_freq: local.theta }),
  }
}

/** The model type of a class. */
export function gemmaTypeOfClass(name: string): string | undefined {
  const [, family] = /^(Gemma2|Gemma3Text|Gemma3|T5Gemma)(?:EncoderModel|Model|For[A-Z]\w*)$/.exec(name) ?? []
  if (family === 'Gemma3') return name === 'Gemma3ForCausalLM' ? 'gemma3_text' : 'gemma3'
  return family === 'Gemma3Text' ? 'gemma3_text' : family?.toLowerCase()
}
