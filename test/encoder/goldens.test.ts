import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Encoder } from '../../src/index.js'
import { golden, goldenCases } from '../golden.js'
import { relativeError, relativeErrorButEdges, TOLERANCE } from '../tolerance.js'
import { describeOn } from './devices.js'

// What Hugging Face computes, at every position, masked ones included.
for (const model of ['t5-tiny-v10', 't5-tiny-v11', 't5-odd', 'umt5-tiny']) {
  const cases = await goldenCases(model)

  describeOn('cpu', `${model} in f32`, () => {
    let encoder: Encoder
    beforeAll(async () => void (encoder = await Encoder.load(golden(model))))
    afterAll(() => encoder.dispose())

    it('keeps a float32 checkpoint in float32', () => expect(encoder.precision).toBe('f32'))
    it.each(cases)('agrees with float64 on $name', async ({ input, shape, expected }) => {
      const result = await encoder.encode(input)
      expect(result.shape).toEqual(shape)
      expect(relativeError(result.embeddings, expected)).toBeLessThan(TOLERANCE.f32)
    })
  })

  for (const device of ['cpu', 'cuda'] as const) {
    describeOn(device, `${model} in bf16`, () => {
      let encoder: Encoder
      beforeAll(async () => void (encoder = await Encoder.load(golden(model, 'bf16'), { device })))
      afterAll(() => encoder.dispose())

      it('keeps a bf16 checkpoint in bf16, and says where it runs', () => {
        expect([encoder.precision, encoder.device]).toEqual(['bf16', device])
      })
      it.each(cases)(
        'is near float64 and no worse than Hugging Face in bf16 on $name',
        async ({ input, shape, expected, expectedBf16, bf16Error }) => {
          const { embeddings, shape: found } = await encoder.encode(input)
          expect(found).toEqual(shape)
          expect(relativeError(embeddings, expected)).toBeLessThan(TOLERANCE.bf16Weights)
          if (!expectedBf16) return // not recorded for this case
          const error =
            device === 'cpu'
              ? relativeError(embeddings, expectedBf16)
              : relativeErrorButEdges(embeddings, expectedBf16, shape[2]!)
          expect(error).toBeLessThan(bf16Error ?? TOLERANCE.bf16)
        },
      )
    })
  }

  describe.each(['int8', 'int4'] as const)(`${model} in %s`, (precision) => {
    let encoder: Encoder
    beforeAll(async () => void (encoder = await Encoder.load(golden(model), { precision })))
    afterAll(() => encoder.dispose())

    it('holds what it estimated', async () => {
      expect(encoder.precision).toBe(precision)
      const { weights } = await Encoder.estimate(golden(model), { precision })
      expect(encoder.memory.weights).toBe(weights)
    })
    it.each(cases)('stays near float64 on $name', async ({ input, expected }) => {
      const { embeddings } = await encoder.encode(input)
      expect(relativeError(embeddings, expected)).toBeLessThan(TOLERANCE[precision])
    })
  })
}

describe('a checkpoint under its other names and layouts', async () => {
  const { input, expectedBf16 } = (await goldenCases('t5-tiny-v10')).find(({ expectedBf16 }) => expectedBf16)!
  it.each([
    ['bf16/model-both-names.safetensors'],
    ['bf16/model-embed_tokens-only.safetensors'],
    ['bf16/model-full-t5-leftovers.safetensors'],
    ['bf16-sharded'],
  ])('gives the same embeddings: %s', async (path) => {
    await using encoder = await Encoder.load(golden('t5-tiny-v10', path), { precision: 'f32' })
    const { embeddings } = await encoder.encode(input)
    expect(relativeError(embeddings, expectedBf16!)).toBeLessThan(TOLERANCE.f32)
  })
})
