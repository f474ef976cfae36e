import { inspect } from 'node:util'
import { describe, expect, expectTypeOf, it } from 'vitest'
import { Encoder, openCheckpoint, Plan, type Encoded, type EncodeOptions } from '../../src/index.js'
import { golden } from '../golden.js'

const model = golden('t5-tiny-v11')
const input = { inputIds: { data: Int32Array.of(5, 6, 1), shape: [1, 3] } }

describe('the type of a result', () => {
  it('follows the option `output`', async () => {
    await using encoder = await Encoder.load(model)
    const plain = await encoder.encode(input)
    expectTypeOf(plain.embeddings).toEqualTypeOf<Float32Array>()
    const f32 = await encoder.encode(input, { output: 'f32', masked: 'zero' })
    expectTypeOf(f32.embeddings).toEqualTypeOf<Float32Array>()
    const f16 = await encoder.encode(input, { output: 'f16' })
    expectTypeOf(f16.embeddings).toEqualTypeOf<Uint16Array>()
    const any: EncodeOptions = { output: 'bf16' }
    const either = await encoder.encode(input, any)
    expectTypeOf(either.embeddings).toEqualTypeOf<Float32Array | Uint16Array>()
    expectTypeOf(f16).toExtend<Encoded>()
    expect([plain, f32, f16, either].map(({ embeddings }) => embeddings.constructor.name)).toEqual([
      ...['Float32Array', 'Float32Array', 'Uint16Array', 'Uint16Array'],
    ])
  })
})

describe('what is printed', () => {
  it('of an encoder is where and what it runs, and what it holds', async () => {
    const plan = Plan.skip(6, [2, 3], { 2: 0 })
    await using encoder = await Encoder.load(model, { device: 'cpu', precision: 'int8', plan })
    const { memory } = encoder
    const shown = {
      device: 'cpu',
      precision: 'int8',
      architecture: 't5-6x64-h4x16-ff160-gated-gelu_tanh',
      plan: '6 blocks, 1 re-used, 1 skipped',
      memory,
    }
    expect(JSON.parse(JSON.stringify(encoder))).toEqual(shown)
    expect(inspect(encoder)).toBe(`Encoder ${inspect(shown)}`)
    expect(inspect({ encoder }, { depth: 0, breakLength: Infinity })).not.toContain('engine')
  })

  it('of a plan is a line; as JSON it is its file', () => {
    const plan = new Plan([0, 1, 0, null], {
      scales: [0.5, 1, 1, 1],
      precisions: ['int4', 'int8', null, null],
    })
    const whole = plan.with({ compensation: { rank: 1, down: Float32Array.of(1), up: Float32Array.of(1) } })
    expect(inspect(whole)).toBe(
      'Plan { 2 blocks, 1 re-used, 1 skipped, scaled, int8 and int4 weights, rank-1 compensation }',
    )
    expect(inspect([Plan.dense(6)])).toBe('[ Plan { 6 blocks, dense } ]')
    expect(Plan.parse(JSON.stringify(whole)).equals(whole)).toBe(true)
  })

  it('of a checkpoint is a summary', async () => {
    const checkpoint = await openCheckpoint(model)
    const { architecture, subBlocks, path } = JSON.parse(JSON.stringify(checkpoint)) as Record<
      string,
      unknown
    >
    expect({ architecture, subBlocks, path }).toEqual({
      architecture: 't5-6x64-h4x16-ff160-gated-gelu_tanh',
      subBlocks: 'all 12',
      path: model,
    })
    expect(inspect(checkpoint)).toMatch(/^Checkpoint \{[^]*subBlocks: 'all 12'/)
    expect(inspect(checkpoint).length).toBeLessThan(500)
  })
})
