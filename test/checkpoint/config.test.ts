import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { architectureFromConfig, familyOf } from '../../src/families/index.js'
import { CheckpointError } from '../../src/errors.js'
import { t5, t5Architecture, t5Sizes } from '../../src/families/t5.js'
import type { T5Sizes } from '../../src/families/t5-sizes.js'
import { GOLDEN } from './helpers.js'

const golden = async (name: string): Promise<Record<string, unknown>> =>
  JSON.parse(await readFile(join(GOLDEN, name, 'config.json'), 'utf8')) as Record<string, unknown>
const parse = (json: unknown) => t5Sizes(architectureFromConfig('config.json', json))

describe('the architecture in a config.json', () => {
  it('of T5 v1.0: ReLU, not gated, distance 128 where nothing is said', async () => {
    expect(parse(await golden('t5-tiny-v10'))).toEqual({
      family: 't5',
      blocks: 3,
      width: 32,
      heads: 4,
      headDim: 8,
      ff: 96,
      vocab: 256,
      buckets: 32,
      maxDistance: 128,
      epsilon: 1e-6,
      activation: 'relu',
      gated: false,
    })
  })
  it('of T5 v1.1: gated GELU in its tanh form; odd sizes as they are', async () => {
    expect(parse(await golden('t5-odd'))).toMatchObject({
      heads: 5,
      headDim: 24,
      width: 96,
      buckets: 20,
      maxDistance: 50,
      epsilon: 1e-5,
      activation: 'gelu_tanh',
      gated: true,
    })
  })
  it('of UMT5: a bias per block', async () => {
    const shared = async (name: string) => {
      const { family, subBlocks } = architectureFromConfig('config.json', await golden(name))
      return [family, subBlocks.map((s) => s.kind === 'attention' && s.distance.buckets?.shared === true)]
    }
    expect(await shared('umt5-tiny')).toEqual(['umt5', Array(6).fill(false)])
    expect(await shared('t5-tiny-v10')).toEqual(['t5', [true, false, true, false, true, false]])
  })
  it('of mT5: gated GELU is its default', async () => {
    const silent = { feed_forward_proj: undefined, dense_act_fn: undefined, is_gated_act: undefined }
    const rest = { ...(await golden('t5-odd')), ...silent }
    expect(parse({ ...rest, model_type: 'mt5' })).toMatchObject({ family: 't5', gated: true })
    expect(parse({ ...rest, model_type: 't5' })).toMatchObject({ activation: 'relu', gated: false })
  })
  it('knows a T5 by its class where model_type is missing', async () => {
    const rest = { ...(await golden('umt5-tiny')), model_type: undefined }
    expect(parse(rest).family).toBe('umt5')
  })
})

describe('a config.json that cannot be used says which field', () => {
  const cases: [string, Record<string, unknown>, string][] = [
    ['another model', { model_type: 'bert' }, 'model_type: found "bert", a BERT encoder'],
    [
      'an unknown model',
      { model_type: '__proto__' },
      'model_type: found "__proto__", expected a T5-family encoder',
    ],
    ['no blocks', { num_layers: 0 }, 'num_layers: found 0, expected an integer from 1 to 1024'],
    ['a billion blocks', { num_layers: 1e9 }, 'num_layers: found 1000000000'],
    ['half a head', { num_heads: 2.5 }, 'num_heads: found 2.5'],
    ['a width in words', { d_model: '64' }, 'd_model: found "64", expected an integer from 1 to 65536'],
    ['no width', { d_model: undefined }, 'd_model: found nothing'],
    ['a negative vocabulary', { vocab_size: -1 }, 'vocab_size: found -1'],
    ['epsilon 0', { layer_norm_epsilon: 0 }, 'layer_norm_epsilon: found 0'],
    ['an epsilon that is 0 in float32', { layer_norm_epsilon: 1e-300 }, 'layer_norm_epsilon: found 1e-300'],
    ['two buckets', { relative_attention_num_buckets: 2 }, 'relative_attention_num_buckets: found 2'],
    ['two thousand heads', { num_heads: 2000 }, 'num_heads: found 2000, expected an integer from 1 to 1024'],
    ['wide heads', { d_kv: 1e6 }, 'd_kv: found 1000000'],
    ['a million buckets', { relative_attention_num_buckets: 1e6 }, 'relative_attention_num_buckets: found'],
    [
      'an endless distance',
      { relative_attention_max_distance: 2 ** 30 },
      'relative_attention_max_distance: f',
    ],
    [
      'a matrix without measure',
      { d_model: 65536, d_ff: 1 << 20 },
      'd_ff: found a matrix of 1048576 x 65536',
    ],
    ['q without measure', { d_model: 65536, num_heads: 1024, d_kv: 1024 }, 'd_kv: found a matrix'],
    ['an embedding without measure', { vocab_size: 1 << 24, d_model: 1024 }, 'vocab_size: found a matrix'],
    [
      'distances no bucket is for',
      { relative_attention_max_distance: 8 },
      'relative_attention_max_distance: found 8',
    ],
    [
      'gated SiLU',
      { dense_act_fn: undefined, feed_forward_proj: 'gated-silu' },
      'feed_forward_proj: found "gated-silu"',
    ],
    [
      'exact GELU',
      { dense_act_fn: 'gelu' },
      'dense_act_fn: found "gelu", expected relu, or GELU in its tanh form',
    ],
  ]
  it.each(cases)('%s', async (_, change, message) => {
    const json = { ...(await golden('t5-tiny-v11')), ...change }
    expect(() => parse(json)).toThrow(CheckpointError)
    expect(() => parse(json)).toThrow(`config.json: ${message}`)
  })
  it.each([[null], [[]], [3], ['t5']])('%j instead of an object', (json) => {
    expect(() => parse(json)).toThrow(CheckpointError)
  })
})

it('an architecture survives the way to a config.json and back', () => {
  const sizes: fc.Arbitrary<T5Sizes> = fc.record({
    family: fc.constantFrom('t5' as const, 'umt5' as const),
    blocks: fc.integer({ min: 1, max: 1024 }),
    width: fc.integer({ min: 1, max: 2047 }),
    heads: fc.integer({ min: 1, max: 1024 }),
    headDim: fc.integer({ min: 1, max: 1024 }),
    ff: fc.integer({ min: 1, max: 1 << 20 }),
    vocab: fc.nat(1 << 20),
    buckets: fc.integer({ min: 4, max: 128 }),
    maxDistance: fc.integer({ min: 33, max: 1000 }),
    epsilon: fc.constantFrom(1e-6, 1e-5),
    activation: fc.constantFrom('relu' as const, 'gelu_tanh' as const),
    gated: fc.boolean(),
  })
  fc.assert(
    fc.property(sizes, (g) => {
      const a = t5Architecture(g)
      const json: unknown = JSON.parse(JSON.stringify(familyOf(a).config(a, 'BF16')))
      expect(parse(json)).toEqual(g)
    }),
  )
})

describe('an architecture inferred from shapes', () => {
  const Q = 'encoder.block.0.layer.0.SelfAttention.q.weight'
  const TABLE = 'encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight'
  const WI = 'encoder.block.0.layer.1.DenseReluDense.wi.weight'
  const infer = (change: Record<string, number[]>, more: string[] = []) => {
    const shapes = { [Q]: [64, 64], [TABLE]: [32, 4], [WI]: [96, 64], 'shared.weight': [256, 64], ...change }
    const names = more.map((name): [string, { shape: number[] }] => [name, { shape: [1] }])
    const tensors = Object.entries(shapes).map(([name, shape]): [string, { shape: number[] }] => [
      name,
      { shape },
    ])
    return t5.fromShapes!('x.safetensors', new Map([...tensors, ...names]))
  }
  it('may have every number of buckets whose distances differ', () => {
    expect(t5Sizes(infer({ [TABLE]: [511, 4] })).buckets).toBe(511)
  })
  const cases: [string, Record<string, number[]>, string][] = [
    [
      'buckets past the largest distance',
      { [TABLE]: [512, 4] },
      `${TABLE}: found 512 buckets for distances up to`,
    ],
    ['one more', { [TABLE]: [513, 4] }, `${TABLE}: found 513 buckets`],
    [
      'a million buckets',
      { [TABLE]: [1e6, 4] },
      `${TABLE}: found buckets 1000000, expected an integer from 4 to`,
    ],
    ['three buckets', { [TABLE]: [3, 4] }, `${TABLE}: found buckets 3`],
    ['too many heads', { [TABLE]: [32, 2000], [Q]: [2000, 64] }, `${TABLE}: found heads 2000`],
    ['too wide heads', { [TABLE]: [32, 1], [Q]: [2000, 64] }, `${Q}: found head width 2000`],
    ['too wide', { [Q]: [64, 1e5] }, `${Q}: found width 100000, expected an integer from 1 to 65536`],
    ['a feed-forward too wide', { [WI]: [2 ** 21, 64] }, `${WI}: found inner width 2097152`],
    ['too many tokens', { 'shared.weight': [2 ** 25, 64] }, 'shared.weight: found vocabulary 33554432'],
    ['a matrix without measure', { [Q]: [64, 65536], [WI]: [2 ** 20, 64] }, `${WI}: found a matrix of`],
    [
      'an embedding without measure',
      { [Q]: [64, 65536], 'shared.weight': [2 ** 24, 64] },
      'shared.weight: found a',
    ],
  ]
  it.each(cases)('%s', (_, change, message) => {
    expect(() => infer(change)).toThrow(CheckpointError)
    expect(() => infer(change)).toThrow(`x.safetensors: ${message}`)
  })
  it('too many blocks', () => {
    const blocks = Array.from({ length: 1100 }, (_, b) => `encoder.block.${b}.layer.0.layer_norm.weight`)
    expect(() => infer({}, blocks)).toThrow(
      'encoder.block: found blocks 1100, expected an integer from 1 to 1024',
    )
  })
})
