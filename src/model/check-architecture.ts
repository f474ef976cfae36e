import { z } from 'zod'
import { checkArgument, flag, number, oneOf, text } from '../io/arguments.js'
import type { Activation, Architecture, Bias } from './architecture.js'

// The fields of architecture.ts, their types alone: what numbers may be is checked where they come from.
const object = <T extends z.ZodRawShape>(shape: T) => z.strictObject(shape, { error: 'an object' })

const norm = object({ kind: oneOf('rms', 'layer'), epsilon: number })
const buckets = object({ count: number, max: number, shared: flag.optional() })
const linear = object({ kind: z.literal('linear'), factor: number })
const llama3 = object({
  kind: z.literal('llama3'),
  factor: number,
  lowFreqFactor: number,
  highFreqFactor: number,
  originalPositions: number,
})
const yarn = object({
  kind: z.literal('yarn'),
  factor: number,
  betaFast: number,
  betaSlow: number,
  originalPositions: number,
  attentionFactor: number,
})
const scaling = z.discriminatedUnion('kind', [linear, llama3, yarn], { error: 'a scaling of frequencies' })
const rope = object({
  theta: number,
  rotated: number.optional(),
  interleaved: flag.optional(),
  scaling: scaling.optional(),
  query: object({ beta: number, period: number }).optional(),
})
const attention = object({
  kind: z.literal('attention'),
  norm,
  postNorm: norm.optional(),
  heads: number,
  keyHeads: number,
  headDim: number,
  bias: oneOf<Bias>('none', 'qkv', 'all'),
  headNorm: norm.optional(),
  scale: number,
  softcap: number.optional(),
  distance: object({ buckets: buckets.optional(), ahead: number.optional(), back: number.optional() }),
  rope: rope.optional(),
  unseeing: oneOf('mean', 'zero'),
})
const feedForward = object({
  kind: z.literal('feedForward'),
  norm,
  postNorm: norm.optional(),
  inner: number,
  gated: flag,
  activation: oneOf<Activation>('relu', 'gelu', 'gelu_tanh', 'quick_gelu', 'silu'),
  bias: flag,
})
const subBlock = z.discriminatedUnion('kind', [attention, feedForward], {
  error: 'an attention or a feed-forward',
})
const byEos = object({ row: z.enum(['firstEos', 'lastEos']), eos: number })
const byPlace = object({ row: z.enum(['argmax', 'last']) })
export const poolingSchema = z.discriminatedUnion('row', [byEos, byPlace], {
  error: 'firstEos, lastEos, argmax or last',
})
const schema = object({
  family: text,
  width: number,
  subBlocks: z.array(subBlock, { error: 'an array of sub-blocks' }),
  input: object({
    vocab: number,
    scale: number.optional(),
    masked: number.optional(),
    positions: number.optional(),
  }),
  output: object({
    norm,
    pooled: poolingSchema.optional(),
    projection: object({ from: z.literal('pooled'), width: number }).optional(),
  }),
})

const checked = new WeakSet<object>()

/** Whether it has the form of an Architecture, which callers without types may get wrong; asked once for each. @throws InputError */
export function checkArchitecture(value: unknown): asserts value is Architecture {
  if (typeof value === 'object' && value !== null && checked.has(value)) return
  checkArgument<unknown>(schema, value, 'architecture')
  checked.add(value as object)
}
