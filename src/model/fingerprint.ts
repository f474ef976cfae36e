import type { Geometry } from './geometry.js'

/**
 * The shape a plan was made for, in one readable word: `t5-24x4096-h64x64-ff10240-gated-gelu_tanh` is T5-XXL
 * (family, blocks x width, heads x head dimension, feed-forward width, activation). Models of one shape share it:
 * it tells a plan that cannot fit from one that can, not one training of a model from another.
 */
export function fingerprint(g: Geometry): string {
  const activation = g.gated ? `gated-${g.activation}` : g.activation
  return `${g.family}-${g.blocks}x${g.width}-h${g.heads}x${g.headDim}-ff${g.ff}-${activation}`
}
