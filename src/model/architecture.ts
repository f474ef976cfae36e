/**
 * An encoder as data: what its sub-blocks are. Sub-block 2i is the attention of block i, 2i+1 its feed-forward; each carries its
 * own norm (see Plan). Attributes travel with weights: a position that re-uses sub-block r runs r's window, theta and norms.
 * Which family has which attributes is known in src/families/ alone.
 */
export interface Architecture {
  /** For messages and the fingerprint; nothing branches on it. */
  readonly family: string
  /** Features of the residual stream and of the embeddings. */
  readonly width: number
  /** [2 x blocks]. Equal ones may be one object. */
  readonly subBlocks: readonly SubBlock[]
  readonly input: {
    /** Rows of the token embedding; 0 where the checkpoint has none and only takes inputsEmbeds. */
    readonly vocab: number
    /** Factor on the embedding's rows; 1 where absent. */
    readonly scale?: number
    /** Where a call gives no mask, tokens with this id are masked; none where absent. */
    readonly masked?: number
    /** Rows of a position table that is added; none where absent. */
    readonly positions?: number
  }
  readonly output: {
    readonly norm: Norm
    /** The row of each prompt that stands for all of it; none where absent. */
    readonly pooled?: Pooling
    /** A matrix without bias on that row. */
    readonly projection?: { readonly from: 'pooled'; readonly width: number }
  }
}

/** Which row is pooled: the first or the last with id `eos`, the first with the largest id, or the last that is no pad. */
export type Pooling =
  { readonly row: 'firstEos' | 'lastEos'; readonly eos: number } | { readonly row: 'argmax' | 'last' }

export type SubBlock = Attention | FeedForward

export interface Attention {
  readonly kind: 'attention'
  readonly norm: Norm
  /** Norms what the sub-block adds to the residual stream. */
  readonly postNorm?: Norm
  readonly heads: number
  /** Heads of keys and values, each of which serves heads / keyHeads queries. */
  readonly keyHeads: number
  /** heads x headDim need not equal the width. */
  readonly headDim: number
  /** Which of q, k, v and o have biases. */
  readonly bias: Bias
  /** Norms each head's queries and keys, before they are rotated. */
  readonly headNorm?: Norm
  /** Factor on a query times a key. */
  readonly scale: number
  /** Scores s become softcap * tanh(s / softcap). */
  readonly softcap?: number
  readonly distance: Distance
  readonly rope?: Rope
  /** What a query that sees no key gets: the mean of all values, or zero. */
  readonly unseeing: 'mean' | 'zero'
}

export interface FeedForward {
  readonly kind: 'feedForward'
  readonly norm: Norm
  readonly postNorm?: Norm
  /** Width between its matrices. */
  readonly inner: number
  /** act(gate x) * (up x) instead of act(up x). */
  readonly gated: boolean
  readonly activation: Activation
  readonly bias: boolean
}

export interface Norm {
  readonly kind: 'rms' | 'layer'
  readonly epsilon: number
}

/** What is added to a score by key - query: position bias, causal mask and window are one line over it. */
export interface Distance {
  /** A learned distance table with a row for each bucket; distances beyond `max` share the last bucket. */
  readonly buckets?: {
    readonly count: number
    readonly max: number
    /** Every attention uses one table; every plan keeps it. */
    readonly shared?: boolean
  }
  /** The farthest key after a query that it sees, and the farthest before it; no limit where absent. */
  readonly ahead?: number
  readonly back?: number
}

export const BIASES = ['none', 'qkv', 'all'] as const
export type Bias = (typeof BIASES)[number]

/** Rotary positions: pairs of a head's channels turn with the position (RoFormer, arXiv 2104.09864). */
export interface Rope {
  readonly theta: number
  /** Channels of a head that are rotated, its first; all where absent. */
  readonly rotated?: number
  /** Pairs are (2j, 2j + 1); else (j, j + rotated / 2). */
  readonly interleaved?: boolean
  readonly scaling?: RopeScaling
  /** Queries are multiplied by 1 + beta ln(1 + floor(position / period)) afterwards (Llama 4). */
  readonly query?: { readonly beta: number; readonly period: number }
}

/** How frequencies were stretched for longer contexts, by the names and numbers of transformers' modeling_rope_utils.py. */
export type RopeScaling =
  | { readonly kind: 'linear'; readonly factor: number }
  | {
      readonly kind: 'llama3'
      readonly factor: number
      readonly lowFreqFactor: number
      readonly highFreqFactor: number
      readonly originalPositions: number
    }
  | {
      readonly kind: 'yarn'
      readonly factor: number
      readonly betaFast: number
      readonly betaSlow: number
      readonly originalPositions: number
      /** On cosines and sines. */
      readonly attentionFactor: number
    }

/** In the engine's order (engine/activation.h). gelu_tanh is Hugging Face's `gelu_new`; quick_gelu is x * sigmoid(1.702 x). */
export const ACTIVATIONS = ['relu', 'gelu_tanh', 'gelu', 'quick_gelu', 'silu'] as const
export type Activation = (typeof ACTIVATIONS)[number]

export const subBlockCount = (a: Architecture): number => a.subBlocks.length
/** The first attention; it describes all of them where sub-blocks of a kind are alike. */
export const attentionOf = (a: Architecture): Attention | undefined =>
  a.subBlocks.find((s) => s.kind === 'attention')
export const feedForwardOf = (a: Architecture): FeedForward | undefined =>
  a.subBlocks.find((s) => s.kind === 'feedForward')

export const isAttention = (subBlock: number): boolean => subBlock % 2 === 0

/** The first `blocks` blocks of an encoder. */
export const firstBlocks = (a: Architecture, blocks: number): Architecture => ({
  ...a,
  subBlocks: a.subBlocks.slice(0, 2 * blocks),
})
