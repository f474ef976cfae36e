import { describe, expect, it } from 'vitest'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { Encoder, Plan, type Outputs, type Pooling } from '../../src/index.js'
import { golden, goldenInput } from '../golden.js'
import { relativeError, TOLERANCE } from '../tolerance.js'
import { describeOn } from './devices.js'

// States, pooled rows, and what they save. The reference is Hugging Face's hidden_states.
const model = 't5-tiny-v11'
const BLOCKS = 6
const tensors = await readTensors(golden(model, 'expected.safetensors'))
const name = [...tensors.keys()].find((key) => key.endsWith('.last_block_prenorm'))!.split('.')[0]!
const input = goldenInput(tensors, name)
const stack = tensors.get(`${name}.hidden_states`)! // [blocks + 1, batch, tokens, width], its last entry normed
const shape = stack.shape.slice(1)
const size = shape.reduce((product, n) => product * n, 1)
const hidden = (k: number): Float32Array => (stack.data as Float32Array).subarray(k * size, (k + 1) * size)
const prenorm = tensors.get(`${name}.last_block_prenorm`)!.data as Float32Array

const ids = { data: tensors.get(`${name}.input_ids`)!.data as Int32Array, shape: shape.slice(0, 2) }

const load = (outputs?: Outputs, options = {}): Promise<Encoder> =>
  Encoder.load(golden(model), { device: 'cpu', outputs, ...options })

for (const device of ['cpu', 'cuda'] as const) {
  describeOn(device, 'states', () => {
    it('are the stream after any block, normed or not', async () => {
      await using encoder = await Encoder.load(golden(model), { device })
      const tolerance = device === 'cpu' ? TOLERANCE.f32 : TOLERANCE.bf16Weights
      const states = [{ after: 'last' }, { after: 0 }, { after: 3 }, { after: BLOCKS, norm: true }] as const
      const result = await encoder.encode(input, { outputs: { states } })
      expect(result.shape).toEqual(shape)
      expect(result.embeddings).toBe(result.states[0])
      for (const [t, expected] of [prenorm, hidden(0), hidden(3), hidden(BLOCKS)].entries()) {
        expect(relativeError(result.states[t]!, expected)).toBeLessThan(tolerance)
      }
    })

    it('are the same bits when the encoder was loaded for them alone', async () => {
      await using whole = await Encoder.load(golden(model), { device })
      const outputs = { states: [{ after: 2 }, { after: 3, norm: true }] }
      await using cut = await Encoder.load(golden(model), { device, outputs })
      expect((await cut.encode(input)).states).toEqual((await whole.encode(input, { outputs })).states)
    })

    it('may be pooled, without a projection where the encoder has none', async () => {
      const pooled = { row: { row: 'last' } } as const
      await using encoder = await Encoder.load(golden(model), { device, outputs: { pooled } })
      const { embeddings, pooled: found } = await encoder.encode({ inputIds: ids })
      const [batch, tokens] = ids.shape as [number, number]
      const { width } = encoder.architecture
      expect(found!.shape).toEqual([batch, width])
      for (let b = 0; b < batch; b++) {
        const end = (b * tokens + tokens) * width
        expect(found!.data.slice(b * width, (b + 1) * width)).toEqual(embeddings.slice(end - width, end))
      }
    })
  })
}

describe('several states', () => {
  const states = [{ after: 1 }, { after: 4 }, { after: 'last', norm: true }] as const

  it('stand apart, one after the other in each row, or channel by channel', async () => {
    await using encoder = await load()
    const apart = await encoder.encode(input, { outputs: { states } })
    const width = encoder.architecture.width
    for (const [join, place] of [
      ['states', (t: number, c: number) => t * width + c],
      ['channels', (t: number, c: number) => c * states.length + t],
    ] as const) {
      const joined = await encoder.encode(input, { outputs: { states, join } })
      expect(joined.shape).toEqual([...shape.slice(0, 2), states.length * width])
      expect(joined.states).toEqual([joined.embeddings])
      const expected = new Float32Array(joined.embeddings.length)
      for (const [t, state] of apart.states.entries()) {
        for (let i = 0; i < state.length; i++) {
          expected[Math.floor(i / width) * states.length * width + place(t, i % width)] = state[i]!
        }
      }
      expect(joined.embeddings).toEqual(expected)
    }
  })

  it('come in other element types too', async () => {
    await using encoder = await load()
    const floats = await encoder.encode(input, { outputs: { states } })
    const { states: bits } = await encoder.encode(input, { outputs: { states }, output: 'bf16' })
    for (const [t, state] of bits.entries()) {
      const values = Float32Array.from(state, (b) => new Float32Array(Uint32Array.of(b << 16).buffer)[0]!)
      expect(relativeError(values, floats.states[t]!)).toBeLessThan(0.004)
    }
  })
})

describe('blocks after the last state', () => {
  it('are not loaded, and the estimate knows', async () => {
    const outputs = { states: [{ after: 4 }] }
    await using cut = await load(outputs)
    await using whole = await load()
    const estimated = await Encoder.estimate(golden(model), { device: 'cpu', outputs })
    expect(cut.memory.weights).toBe(estimated.weights)
    const weights = (blocks: number): number => (blocks / BLOCKS) * whole.memory.weights
    expect(cut.memory.weights / weights(4)).toBeCloseTo(1, 2)
    expect(cut.plan.equals(Plan.dense(BLOCKS))).toBe(true)
  })

  it('are refused where a call asks for them', async () => {
    await using cut = await load({ states: [{ after: 4 }] })
    const outputs = { states: [{ after: 5 }] }
    await expect(cut.encode(input, { outputs })).rejects.toThrow(
      'outputs: found a state after 5 blocks, expected at most 4',
    )
    await expect(cut.encode(input, { outputs: { pooled: { row: { row: 'last' } } } })).rejects.toThrow(
      /after 6 blocks/,
    )
  })

  it('may be the sources of others, and then are', async () => {
    const plan = new Plan([0, 1, 10, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    await using cut = await load({ states: [{ after: 2 }] }, { plan })
    await using whole = await load({}, { plan })
    expect((await cut.encode(input)).embeddings).toEqual(
      (await whole.encode(input, { outputs: { states: [{ after: 2 }] } })).embeddings,
    )
  })

  it('stay out when the plan is switched', async () => {
    await using cut = await load({ states: [{ after: 3 }] })
    const before = cut.memory.weights
    await cut.setPlan(new Plan([0, 1, null, 3, 4, 5, 6, 7, 8, 9, 10, 11]), { release: true })
    expect(cut.memory.weights).toBeLessThan(before)
  })
})

describe('the pooled row', () => {
  // 9 is eos, which comes twice in the first prompt and not at all in the second; 30 is the largest id
  const prompts = { data: Int32Array.from([5, 9, 30, 9, 7, 4, 3, 30, 2, 30]), shape: [2, 5] }
  it.each<[Pooling, [number, number]]>([
    [{ row: 'firstEos', eos: 9 }, [1, 0]],
    [{ row: 'lastEos', eos: 9 }, [3, 0]],
    [{ row: 'argmax' }, [2, 2]],
    [{ row: 'last' }, [4, 4]],
  ])('by %j', async (row, places) => {
    await using encoder = await load({ pooled: { row } })
    const { embeddings, pooled } = await encoder.encode({ inputIds: prompts })
    const width = encoder.architecture.width
    const rows = places.map((t, b) => embeddings.slice((5 * b + t) * width, (5 * b + t + 1) * width))
    expect(pooled!.data).toEqual(Float32Array.from(rows.flatMap((values) => [...values])))
  })

  it('is the last that is no pad', async () => {
    await using encoder = await load({ pooled: { row: { row: 'last' } } })
    const attentionMask = Int32Array.from([1, 1, 1, 0, 0, 0, 1, 1, 1, 1])
    const width = encoder.architecture.width
    for (const masked of ['compute', 'zero'] as const) {
      const result = await encoder.encode({ inputIds: prompts, attentionMask }, { masked })
      const rows = [2, 9].map((row) => result.embeddings.slice(row * width, (row + 1) * width))
      expect(result.pooled!.data).toEqual(Float32Array.from(rows.flatMap((values) => [...values])))
    }
  })

  it('needs ids to look for one', async () => {
    await using encoder = await load({ pooled: { row: { row: 'argmax' } } })
    const inputsEmbeds = { data: new Float32Array(64).fill(0.5), shape: [1, 1, 64] }
    await expect(encoder.encode({ inputsEmbeds })).rejects.toThrow(/argmax looks for a row/)
  })
})

describe('outputs that make no sense', () => {
  it.each<[string, unknown, RegExp]>([
    [
      'a state after more blocks than there are',
      { states: [{ after: 7 }] },
      /after: found 7, expected 0 to 6/,
    ],
    ['no state', { states: [] }, /found none, expected at least one/],
    ['a negative one', { states: [{ after: -1 }] }, /outputs.states/],
    ['an unknown field', { states: [{ after: 1, normed: true }] }, /normed/],
    ['pooled rows of an encoder that says none', { pooled: true }, /found no row/],
    [
      'a projection there is none of',
      { pooled: { row: { row: 'last' }, project: true } },
      /without projection/,
    ],
    ['another join', { join: 'rows' }, /join/],
  ])('%s', async (_, outputs, message) => {
    await expect(load(outputs as Outputs)).rejects.toThrow(message)
  })
})
