import type { Architecture, Attention } from '../model/architecture.js'

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

/** The tensors of one sub-block, its norm included; UMT5's attention includes its bias. */
export function subBlockTensors({ width, subBlocks }: Architecture, subBlock: number): TensorSpec[] {
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
      ...(s.distance.buckets?.shared === true ? [] : [biasTensor(s, subBlock)]),
    ]
  }
  const dense = `${block}.layer.1.DenseReluDense`
  const up: TensorSpec[] = s.gated
    ? [
        { role: 'wi_0', name: `${dense}.wi_0.weight`, shape: [s.inner, width] },
        { role: 'wi_1', name: `${dense}.wi_1.weight`, shape: [s.inner, width] },
      ]
    : [{ role: 'wi', name: `${dense}.wi.weight`, shape: [s.inner, width] }]
  return [
    { role: 'norm', name: `${block}.layer.1.layer_norm.weight`, shape: [width] },
    ...up,
    { role: 'wo', name: `${dense}.wo.weight`, shape: [width, s.inner] },
  ]
}

/** The tensors outside the sub-blocks, which every plan keeps: embedding, final norm, T5's one bias table. */
export function fixedTensors({ width, subBlocks, input }: Architecture): TensorSpec<FixedRole>[] {
  const embedding: TensorSpec<FixedRole>[] =
    input.vocab > 0 ? [{ role: 'embedding', name: 'shared.weight', shape: [input.vocab, width] }] : []
  const attention = subBlocks.find((s) => s.kind === 'attention')
  return [
    ...embedding,
    { role: 'final_norm', name: 'encoder.final_layer_norm.weight', shape: [width] },
    ...(attention?.distance.buckets?.shared === true ? [biasTensor(attention, 0)] : []),
  ]
}

function biasTensor({ heads, distance }: Attention, subBlock: number): TensorSpec<'bias'> {
  const block = `encoder.block.${Math.floor(subBlock / 2)}`
  return {
    role: 'bias',
    name: `${block}.layer.0.SelfAttention.relative_attention_bias.weight`,
    shape: [distance.buckets?.count ?? 0, heads],
  }
}
