import { attentionOf, feedForwardOf, isAttention } from '../model/architecture.js'
import { blocksOf } from '../model/parameters.js'
import type { Architecture, Attention, FeedForward, Norm } from '../model/architecture.js'
import type { FixedRole, Role } from '../model/roles.js'
import type { Family, TensorSpec } from './family.js'
import { configFromSizes, sizesFromConfig, sizesFromShapes } from './t5-config.js'
import type { T5Sizes } from './t5-sizes.js'

/** The encoders of T5, mT5 and UMT5. */
export const t5: Family = {
  labels: ['t5', 'umt5'],
  modelTypes: ['t5', 'mt5', 'umt5'],
  title: 'T5-family encoder',
  tensors: 'tensors named encoder.block.*',
  describe: ({ family }) => (family === 'umt5' ? 'a UMT5 encoder' : 'a T5 encoder'),
  typeOfClass: (name) => /^(T5|MT5|UMT5)[A-Z]/.exec(name)?.[1]?.toLowerCase(),
  fromConfig: (file, modelType, json) => t5Architecture(sizesFromConfig(file, modelType, json)),
  fromShapes: (file, tensors) => t5Architecture(sizesFromShapes(file, tensors)),
  config: (a, encoding) => configFromSizes(t5Sizes(a), encoding),
  fixed: fixedTensors,
  subBlock: subBlockTensors,
  packed: packedNames,
  prefixes: encoderPrefixes,
  canonical: encoderNames,
  endsWithEos: true,
  // </s> alone
  emptyPrompt: (eos = 1) => [eos],
  padId: 0,
  around: [0, 1],
  // Pile-T5 has as many, and is read as UMT5
  vocabularies: { t5: { 32128: 't5' } },
  tokenizerFiles: [
    'tokenizer.json',
    'spiece.model',
    'tokenizer.model',
    'tokenizer_config.json',
    'special_tokens_map.json',
    'added_tokens.json',
  ],
}

/** In UMT5 every attention has its own distance table, in T5 all use block 0's. */
export function t5Architecture(sizes: T5Sizes): Architecture {
  const { family, blocks, width, heads, headDim, ff, vocab, activation, gated } = sizes
  const norm: Norm = { kind: 'rms', epsilon: sizes.epsilon }
  const table = { count: sizes.buckets, max: sizes.maxDistance }
  const attention: Attention = {
    kind: 'attention',
    norm,
    heads,
    keyHeads: heads,
    headDim,
    bias: 'none',
    scale: 1,
    distance: { buckets: family === 'umt5' ? table : { ...table, shared: true } },
    unseeing: 'mean',
  }
  const feedForward: FeedForward = { kind: 'feedForward', norm, inner: ff, gated, activation, bias: false }
  return {
    family,
    width,
    subBlocks: Array.from({ length: 2 * blocks }, (_, s) => (s % 2 === 0 ? attention : feedForward)),
    input: { vocab },
    output: { norm },
  }
}

/** The sizes from which an architecture of this family was made. */
export function t5Sizes(a: Architecture): T5Sizes {
  const attention = attentionOf(a)!
  const { inner, activation, gated } = feedForwardOf(a)!
  const { count, max } = attention.distance.buckets!
  return {
    family: a.family as T5Sizes['family'],
    blocks: blocksOf(a),
    width: a.width,
    heads: attention.heads,
    headDim: attention.headDim,
    ff: inner,
    vocab: a.input.vocab,
    buckets: count,
    maxDistance: max,
    epsilon: a.output.norm.epsilon,
    activation: activation as T5Sizes['activation'],
    gated,
  }
}

const T5_V11 = {
  family: 't5',
  headDim: 64,
  vocab: 32128,
  buckets: 32,
  maxDistance: 128,
  epsilon: 1e-6,
  activation: 'gelu_tanh',
  gated: true,
} as const

export const T5_XXL_SIZES: T5Sizes = { ...T5_V11, blocks: 24, width: 4096, heads: 64, ff: 10240 }
export const T5_V11_DEMO_SIZES: T5Sizes = { ...T5_V11, blocks: 12, width: 768, heads: 12, ff: 2048 }

/** The encoder of google/t5-v1_1-xxl, which FLUX, SD3, PixArt and others condition on: 4,762,310,656 parameters. */
export const T5_XXL = t5Architecture(T5_XXL_SIZES)

/** The shape of google/t5-v1_1-base, for demonstrations: 109,628,544 parameters, 219 MB in bf16. */
export const T5_V11_DEMO = t5Architecture(T5_V11_DEMO_SIZES)

function subBlockTensors({ width, subBlocks }: Architecture, subBlock: number): TensorSpec<Role>[] {
  const block = `encoder.block.${Math.floor(subBlock / 2)}`
  const s = subBlocks[subBlock]!
  if (s.kind === 'attention') {
    const attention = `${block}.layer.0.SelfAttention`
    const inner = s.heads * s.headDim
    return [
      { role: 'norm', name: `${block}.layer.0.layer_norm.weight`, shape: [width] },
      { role: 'q', name: `${attention}.q.weight`, shape: [inner, width] },
      { role: 'k', name: `${attention}.k.weight`, shape: [inner, width] },
      { role: 'v', name: `${attention}.v.weight`, shape: [inner, width] },
      { role: 'o', name: `${attention}.o.weight`, shape: [width, inner] },
      distanceTensor(s, subBlock),
    ]
  }
  const dense = `${block}.layer.1.DenseReluDense`
  const up: TensorSpec<Role>[] = s.gated
    ? [
        { role: 'gate', name: `${dense}.wi_0.weight`, shape: [s.inner, width] },
        { role: 'up', name: `${dense}.wi_1.weight`, shape: [s.inner, width] },
      ]
    : [{ role: 'up', name: `${dense}.wi.weight`, shape: [s.inner, width] }]
  return [
    { role: 'norm', name: `${block}.layer.1.layer_norm.weight`, shape: [width] },
    ...up,
    { role: 'down', name: `${dense}.wo.weight`, shape: [width, s.inner] },
  ]
}

function fixedTensors({ width, input }: Architecture): TensorSpec<FixedRole>[] {
  const embedding: TensorSpec<FixedRole>[] =
    input.vocab > 0 ? [{ role: 'embedding', name: 'shared.weight', shape: [input.vocab, width] }] : []
  return [...embedding, { role: 'finalNorm', name: 'encoder.final_layer_norm.weight', shape: [width] }]
}

function distanceTensor({ heads, distance }: Attention, subBlock: number): TensorSpec<'distance'> {
  const { count = 0, shared = false } = distance.buckets ?? {}
  const attention = `encoder.block.${shared ? 0 : Math.floor(subBlock / 2)}.layer.0.SelfAttention`
  return {
    role: 'distance',
    name: `${attention}.relative_attention_bias.weight`,
    shape: [count, heads],
    ...(shared && { shared }),
  }
}

/** q, k and v are packed as one matrix, wi_0 and wi_1 panel by panel as another. */
function packedNames(_: Architecture, subBlock: number): { in: string; out: string } {
  const block = `encoder.block.${Math.floor(subBlock / 2)}.layer`
  return isAttention(subBlock)
    ? { in: `${block}.0.SelfAttention.qkv`, out: `${block}.0.SelfAttention.o` }
    : { in: `${block}.1.DenseReluDense.wi`, out: `${block}.1.DenseReluDense.wo` }
}

/**
 * The names these encoders go by in files, brought to Hugging Face's. An encoder may stand under a prefix
 * (`text_encoders.t5xxl.transformer.` in all-in-one files), beside a decoder, a head, other models; its embedding is
 * `shared.weight`, `encoder.embed_tokens.weight` or both, which are then one tensor.
 */
const BLOCK = /^(?:.*\.)?(?=encoder\.block\.\d+\.layer\.[01]\.)/
const FINAL_NORM = /^(?:.*\.)?(?=encoder\.final_layer_norm\.weight$)/

/** Every prefix under which an encoder stands. An export may hold no blocks at all; then the final norm's name tells. */
function encoderPrefixes(names: Iterable<string>): string[] {
  const list = [...names]
  const under = (pattern: RegExp): string[] => [
    ...new Set(list.flatMap((name) => pattern.exec(name)?.[0] ?? [])),
  ]
  const prefixes = under(BLOCK)
  return (prefixes.length > 0 ? prefixes : under(FINAL_NORM)).sort()
}

/** Canonical name -> name in the file, for what belongs to the encoder under `prefix`; everything else is left out. */
function encoderNames(names: Iterable<string>, prefix: string): Map<string, string> {
  const canonical = new Map<string, string>()
  for (const name of names) {
    if (!name.startsWith(prefix)) continue
    const inside = name.slice(prefix.length)
    if (inside.startsWith('shared.')) canonical.set(inside, name)
    else if (inside.startsWith(EMBED_TOKENS)) {
      const shared = `shared.${inside.slice(EMBED_TOKENS.length)}`
      if (!canonical.has(shared)) canonical.set(shared, name)
    } else if (inside.startsWith('encoder.')) canonical.set(inside, name)
  }
  return canonical
}
const EMBED_TOKENS = 'encoder.embed_tokens.'
