import type { Geometry } from '../model/geometry.js'

const T5_V11 = {
  family: 't5',
  headDim: 64,
  vocab: 32128,
  buckets: 32,
  maxDistance: 128,
  epsilon: 1e-6,
  activation: 'gelu_tanh',
  gated: true,
  biasPerBlock: false,
} as const

/** The encoder of google/t5-v1_1-xxl, which FLUX, SD3, PixArt and others condition on: 4,762,310,656 parameters. */
export const T5_XXL: Geometry = { ...T5_V11, blocks: 24, width: 4096, heads: 64, ff: 10240 }

/** The shape of google/t5-v1_1-base, for demonstrations: 109,628,544 parameters, 219 MB in bf16. */
export const T5_V11_DEMO: Geometry = { ...T5_V11, blocks: 12, width: 768, heads: 12, ff: 2048 }
