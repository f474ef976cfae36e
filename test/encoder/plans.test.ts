import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exportCheckpoint } from '../../src/export/checkpoint.js'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { openCheckpoint, Plan, Encoder, type Precision } from '../../src/index.js'
import { PRECISIONS } from '../../src/model/precision.js'
import { temporaryFolder } from '../checkpoint/helpers.js'
import { golden, goldenInput } from '../golden.js'
import { relativeError, TOLERANCE } from '../tolerance.js'
import { describeOn } from './devices.js'

interface Plans {
  plans: Record<string, { plan: number[] }>
}
const { plans } = JSON.parse(readFileSync(golden('t5-tiny-v11-plans', 'expected.json'), 'utf8')) as Plans
const tensors = await readTensors(golden('t5-tiny-v11-plans', 'expected.safetensors'))
const inputs = ['a', 'b'].map((name) => ({ name, input: goldenInput(tensors, `input.${name}`) }))
const toPlan = (table: number[]): Plan => new Plan(table.map((source) => (source < 0 ? null : source)))

// The CUDA backend holds bf16 weights only; a plan that ran another sub-block would be off by half or more.
for (const [device, tolerance] of [
  ['cpu', TOLERANCE.f32],
  ['cuda', TOLERANCE.bf16Weights],
] as const) {
  describeOn(device, 'plans that skip and re-use', () => {
    let encoder: Encoder
    beforeAll(async () => void (encoder = await Encoder.load(golden('t5-tiny-v11'), { device })))
    afterAll(() => encoder.dispose())

    it.each(Object.entries(plans))('%s agrees with float64', async (name, { plan }) => {
      await encoder.setPlan(toPlan(plan))
      for (const { name: which, input } of inputs) {
        const expected = tensors.get(`${name}.${which}.last_hidden_state.f64`)!.data as Float64Array
        const { embeddings } = await encoder.encode(input)
        expect(relativeError(embeddings, expected)).toBeLessThan(tolerance)
      }
    })

    it.each(Object.entries(plans))(
      '%s loads only what it uses, and computes the same',
      async (_, { plan }) => {
        await using pruned = await Encoder.load(golden('t5-tiny-v11'), { plan: toPlan(plan), device })
        const dense = await Encoder.estimate(golden('t5-tiny-v11'), { device })
        const promised = await Encoder.estimate(golden('t5-tiny-v11'), { plan: toPlan(plan), device })
        expect(pruned.memory.weights).toBe(promised.weights)
        if (new Set(plan.filter((source) => source >= 0)).size < plan.length) {
          expect(pruned.memory.weights).toBeLessThan(dense.weights)
        }
        await encoder.setPlan(toPlan(plan))
        const [fromPruned, fromFull] = await Promise.all(
          [pruned, encoder].map((e) => e.encode(inputs[0]!.input)),
        )
        expect(fromPruned!.embeddings).toEqual(fromFull!.embeddings)
      },
    )

    it('the identity plan is the dense model, bit for bit', async () => {
      await using dense = await Encoder.load(golden('t5-tiny-v11'), { device })
      await encoder.setPlan(new Plan([...Array(12).keys()]))
      const a = await encoder.encode(inputs[0]!.input)
      const b = await dense.encode(inputs[0]!.input)
      expect(a.embeddings).toEqual(b.embeddings)
    })

    it('a residual scale of 0 is a skip, of 1 the plain re-use; between them is neither', async () => {
      const reuse = [0, 1, 0, 3, 4, 5, 6, 7, 8, 9, 10, 11]
      const encode = async (table: (number | null)[], scale: number): Promise<Float32Array | Uint16Array> => {
        await encoder.setPlan(new Plan(table, { scales: table.map((_, p) => (p === 2 ? scale : 1)) }))
        return (await encoder.encode(inputs[0]!.input)).embeddings
      }
      const skipped = await encode(reuse.with(2, null as never), 1)
      const full = await encode(reuse, 1)
      expect(await encode(reuse, 0)).toEqual(skipped)
      const half = await encode(reuse, 0.5)
      expect(relativeError(half, full)).toBeGreaterThan(1e-3)
      expect(relativeError(half, skipped)).toBeGreaterThan(1e-3)
    })
  })
}

describe('switching plans', () => {
  it('loads what is missing, keeps the rest, and releases on request', async () => {
    const skip = (...s: number[]): Plan => Plan.skip(6, s)
    await using encoder = await Encoder.load(golden('t5-tiny-v11'), { plan: skip(0, 1, 2, 3) })
    const small = encoder.memory.weights
    const progress: number[] = []
    await encoder.setPlan('dense', { onProgress: ({ totalBytes }) => progress.push(totalBytes) })
    const full = encoder.memory.weights
    expect(full).toBeGreaterThan(small)
    expect(Math.max(...progress)).toBeGreaterThan(0)

    await encoder.setPlan(skip(5))
    expect(encoder.memory.weights).toBe(full) // still there for the next switch
    await encoder.setPlan(skip(0, 1, 2, 3), { release: true })
    expect(encoder.memory.weights).toBe(small)
  })

  it('does not touch calls made before', async () => {
    await using encoder = await Encoder.load(golden('t5-tiny-v11'))
    const { input } = inputs[0]!
    const alone = await encoder.encode(input)
    const before = encoder.encode(input)
    const switched = encoder.setPlan(Plan.skip(6, [4, 5]), { release: true })
    expect((await before).embeddings).toEqual(alone.embeddings)
    await switched
    expect((await encoder.encode(input)).embeddings).not.toEqual(alone.embeddings)
  })

  it('keeps the plan it had when the new one cannot be used', async () => {
    await using encoder = await Encoder.load(golden('t5-tiny-v11'))
    await expect(encoder.setPlan(Plan.dense(5))).rejects.toThrow(/10 entries.*expected 12/)
    expect(encoder.plan.equals(Plan.dense(6))).toBe(true)
  })
})

describe('a plan with precisions', () => {
  const model = golden('t5-tiny-v11')
  const { input } = inputs[0]!
  const dense = Plan.dense(6).table
  const inAll = (precision: Precision): Plan => new Plan(dense, { precisions: dense.map(() => precision) })

  it.each(PRECISIONS)(
    '%s for all is what an encoder of that precision computes, bit for bit',
    async (precision) => {
      await using named = await Encoder.load(model, { plan: inAll(precision) })
      await using own = await Encoder.load(model, { precision })
      expect(named.memory.weights).toBe(own.memory.weights)
      expect((await named.encode(input)).embeddings).toEqual((await own.encode(input)).embeddings)
    },
  )

  it('that names the precision the encoder has holds no weight twice', async () => {
    await using encoder = await Encoder.load(golden('t5-tiny-v11', 'bf16'))
    expect(encoder.precision).toBe('bf16')
    const { weights } = encoder.memory
    await encoder.setPlan(inAll('bf16'))
    expect(encoder.memory.weights).toBe(weights)
  })

  it('holds each sub-block in its own, wherever it runs, and is estimated so', async () => {
    const precisions = dense.map((s) => (s! % 2 === 1 ? 'int8' : null))
    const plan = new Plan([0, 1, 0, 1, 4, 5, 6, 7, 8, 9, 10, 11], { precisions })
    await using mixed = await Encoder.load(model, { plan, precision: 'f32' })
    const { weights } = await Encoder.estimate(model, { plan, precision: 'f32' })
    expect(mixed.memory.weights).toBe(weights)
    const own = await Encoder.estimate(model, { plan: new Plan(plan.table), precision: 'f32' })
    const int8 = await Encoder.estimate(model, { plan: new Plan(plan.table), precision: 'int8' })
    expect(weights).toBeLessThan(own.weights)
    expect(weights).toBeGreaterThan(int8.weights)
  })

  it('is switched to and from as any other; release leaves one copy of a sub-block', async () => {
    await using encoder = await Encoder.load(model, { precision: 'f32' })
    const small = (await Encoder.estimate(model, { precision: 'int8' })).weights
    const exact = await encoder.encode(input)
    const before = encoder.encode(input) // keeps its weights, whatever is loaded meanwhile
    await encoder.setPlan(inAll('int8'))
    expect((await before).embeddings).toEqual(exact.embeddings)
    const rounded = await encoder.encode(input)
    expect(rounded.embeddings).not.toEqual(exact.embeddings)

    const both = encoder.memory.weights
    await encoder.setPlan('dense') // still there
    expect(encoder.memory.weights).toBe(both)
    expect((await encoder.encode(input)).embeddings).toEqual(exact.embeddings)
    await encoder.setPlan(inAll('int8'), { release: true })
    expect(encoder.memory.weights).toBe(small)
    expect((await encoder.encode(input)).embeddings).toEqual(rounded.embeddings)
  })

  it('comes back from its export', async () => {
    const plan = new Plan(dense, { precisions: dense.map((s) => (s === 3 ? 'int8' : null)) })
    const out = join(await temporaryFolder(), 'out')
    await exportCheckpoint(await openCheckpoint(model), plan, out)
    await using direct = await Encoder.load(model, { plan })
    await using exported = await Encoder.load(out)
    expect(exported.plan.equals(plan)).toBe(true)
    expect((await exported.encode(input)).embeddings).toEqual((await direct.encode(input)).embeddings)
  })
})
