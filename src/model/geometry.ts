/**
 * The shape of a T5-family encoder, and what follows from it: its sub-blocks, their tensors, their parameters.
 * Sub-block 2i is the attention of block i, 2i+1 its feed-forward; each carries its own norm (see Plan).
 */
export interface Geometry {
  readonly family: 't5' | 'umt5'
  readonly blocks: number
  /** d_model: width of the residual stream and of the embeddings that come out. */
  readonly width: number
  readonly heads: number
  /** d_kv: width of one head; heads x headDim need not equal width. */
  readonly headDim: number
  /** d_ff */
  readonly ff: number
  /** Rows of the token embedding; 0 where the checkpoint has none and only takes inputsEmbeds. */
  readonly vocab: number
  /** relative_attention_num_buckets and relative_attention_max_distance */
  readonly buckets: number
  readonly maxDistance: number
  /** layer_norm_epsilon */
  readonly epsilon: number
  /** gelu_tanh is Hugging Face's `gelu_new`. */
  readonly activation: 'relu' | 'gelu_tanh'
  /** Two up-projections, act(wi_0 x) * (wi_1 x), instead of one. */
  readonly gated: boolean
  /** UMT5: every attention has its own relative-position bias. T5: block 0's serves all. */
  readonly biasPerBlock: boolean
}

/** What a tensor is for, inside its sub-block or beside them. */
export type AttentionRole = 'norm' | 'q' | 'k' | 'v' | 'o' | 'bias'
export type FeedForwardRole = 'norm' | 'wi' | 'wi_0' | 'wi_1' | 'wo'
export type FixedRole = 'embedding' | 'final_norm' | 'bias'
export type Role = AttentionRole | FeedForwardRole | FixedRole

/** One tensor the encoder needs: its canonical Hugging Face name and the shape it must have. */
export interface TensorSpec<R extends Role = Role> {
  readonly role: R
  readonly name: string
  readonly shape: readonly number[]
}

export const subBlockCount = (g: Geometry): number => 2 * g.blocks
export const isAttention = (subBlock: number): boolean => subBlock % 2 === 0

/** The tensors of one sub-block, its norm included; UMT5's attention includes its bias. */
export function subBlockTensors(g: Geometry, subBlock: number): TensorSpec[] {
  const block = `encoder.block.${Math.floor(subBlock / 2)}`
  const inner = g.heads * g.headDim
  if (isAttention(subBlock)) {
    const attention = `${block}.layer.0.SelfAttention`
    return [
      { role: 'norm', name: `${block}.layer.0.layer_norm.weight`, shape: [g.width] },
      { role: 'q', name: `${attention}.q.weight`, shape: [inner, g.width] },
      { role: 'k', name: `${attention}.k.weight`, shape: [inner, g.width] },
      { role: 'v', name: `${attention}.v.weight`, shape: [inner, g.width] },
      { role: 'o', name: `${attention}.o.weight`, shape: [g.width, inner] },
      ...(g.biasPerBlock ? [biasTensor(g, subBlock)] : []),
    ]
  }
  const dense = `${block}.layer.1.DenseReluDense`
  const up: TensorSpec[] = g.gated
    ? [
        { role: 'wi_0', name: `${dense}.wi_0.weight`, shape: [g.ff, g.width] },
        { role: 'wi_1', name: `${dense}.wi_1.weight`, shape: [g.ff, g.width] },
      ]
    : [{ role: 'wi', name: `${dense}.wi.weight`, shape: [g.ff, g.width] }]
  return [
    { role: 'norm', name: `${block}.layer.1.layer_norm.weight`, shape: [g.width] },
    ...up,
    { role: 'wo', name: `${dense}.wo.weight`, shape: [g.width, g.ff] },
  ]
}

/** The tensors outside the sub-blocks, which every plan keeps: embedding, final norm, T5's one bias table. */
export function fixedTensors(g: Geometry): TensorSpec<FixedRole>[] {
  const embedding: TensorSpec<FixedRole>[] =
    g.vocab > 0 ? [{ role: 'embedding', name: 'shared.weight', shape: [g.vocab, g.width] }] : []
  return [
    ...embedding,
    { role: 'final_norm', name: 'encoder.final_layer_norm.weight', shape: [g.width] },
    ...(g.biasPerBlock ? [] : [biasTensor(g, 0)]),
  ]
}

function biasTensor(g: Geometry, subBlock: number): TensorSpec<'bias'> {
  const block = `encoder.block.${Math.floor(subBlock / 2)}`
  return {
    role: 'bias',
    name: `${block}.layer.0.SelfAttention.relative_attention_bias.weight`,
    shape: [g.buckets, g.heads],
  }
}

const parametersOf = (tensors: readonly TensorSpec[]): number =>
  tensors.reduce((sum, t) => sum + t.shape.reduce((product, n) => product * n, 1), 0)

export const subBlockParameters = (g: Geometry, subBlock: number): number =>
  parametersOf(subBlockTensors(g, subBlock))
export const fixedParameters = (g: Geometry): number => parametersOf(fixedTensors(g))

/** Parameters of the dense encoder, embedding included: T5-XXL has 4,762,310,656. */
export function denseParameters(g: Geometry): number {
  let sum = fixedParameters(g)
  for (let s = 0; s < subBlockCount(g); s++) sum += subBlockParameters(g, s)
  return sum
}
