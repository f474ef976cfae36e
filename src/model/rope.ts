import type { Rope, RopeScaling } from './architecture.js'

/** A rotation as the engine takes it (Rope in engine/architecture.h): whatever theta and scaling were, only angles remain. */
export interface Rotation {
  /** [rotated / 2] radians a position. */
  readonly frequencies: Float64Array
  readonly interleaved: boolean
  /** Factor on cosines and sines. */
  readonly magnitude: number
  readonly query?: { readonly beta: number; readonly period: number }
}

/** Of heads of `headDim` channels. As transformers' modeling_rope_utils.py computes inv_freq and attention_factor, in double. */
export function rotationOf(rope: Rope, headDim: number): Rotation {
  const rotated = rope.rotated ?? headDim
  const plain = Float64Array.from({ length: rotated / 2 }, (_, j) => rope.theta ** ((-2 * j) / rotated))
  return {
    frequencies: rope.scaling ? scaled(plain, rope, rope.scaling, rotated) : plain,
    interleaved: rope.interleaved ?? false,
    magnitude: rope.scaling?.kind === 'yarn' ? rope.scaling.attentionFactor : 1,
    ...(rope.query && { query: rope.query }),
  }
}

function scaled(plain: Float64Array, { theta }: Rope, scaling: RopeScaling, rotated: number): Float64Array {
  const { factor } = scaling
  switch (scaling.kind) {
    case 'linear':
      return plain.map((f) => f / factor)
    case 'llama3':
      return plain.map((f) => {
        const { lowFreqFactor: low, highFreqFactor: high, originalPositions } = scaling
        const turns = (originalPositions * f) / (2 * Math.PI) // in the original context
        if (turns > high) return f
        if (turns < low) return f / factor
        const part = (turns - low) / (high - low)
        return (1 - part) * (f / factor) + part * f
      })
    case 'yarn': {
      // the pair that turns so often in the original context
      const pair = (turns: number): number =>
        (rotated * Math.log(scaling.originalPositions / (2 * Math.PI * turns))) / (2 * Math.log(theta))
      const low = Math.max(0, Math.floor(pair(scaling.betaFast)))
      const high = Math.min(rotated - 1, Math.ceil(pair(scaling.betaSlow)))
      const span = Math.max(high - low, 0.001)
      return plain.map((f, j) => {
        const ramp = Math.min(1, Math.max(0, (j - low) / span))
        return f * (1 - ramp) + (f / factor) * ramp
      })
    }
  }
}
