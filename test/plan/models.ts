import type { Geometry } from '../../src/geometry.js'

/** T5-XXL, for which the paper's orders were published. */
export const t5xxl: Geometry = {
  family: 't5',
  blocks: 24,
  width: 4096,
  heads: 64,
  headDim: 64,
  ff: 10240,
  vocab: 32128,
  buckets: 32,
  maxDistance: 128,
  epsilon: 1e-6,
  activation: 'gelu_tanh',
  gated: true,
  biasPerBlock: false,
}

export const tiny: Geometry = { ...t5xxl, blocks: 4, width: 16, heads: 2, headDim: 8, ff: 24, vocab: 32 }
