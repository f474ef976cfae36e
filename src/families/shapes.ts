import { attentionOf, blocksOf, feedForwardOf } from '../model/architecture.js'
import type { Architecture, Attention, FeedForward, Norm } from '../model/architecture.js'

/** The numbers that tell encoders of this family apart, under names shorter than config.json's. */
export interface T5Sizes {
  readonly family: 't5' | 'umt5'
  readonly blocks: number
  readonly width: number
  readonly heads: number
  readonly headDim: number
  readonly ff: number
  readonly vocab: number
  readonly buckets: number
  readonly maxDistance: number
  readonly epsilon: number
  readonly activation: 'relu' | 'gelu_tanh'
  readonly gated: boolean
}

/** UMT5: every attention has its own table of distances. T5: block 0's serves all. */
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
    bias: false,
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

/** The sizes an architecture of this family was made from. */
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
