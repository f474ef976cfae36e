import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import * as batches from '../../src/prompts/batch.js'
import { splitBatch, type PackedBatch } from '../../src/prompts/batch.js'
import { finish, inTurns } from '../../src/io/turns.js'
import { InputError } from '../../src/errors.js'
import { pipelines, type Pipeline } from '../../src/pipelines/index.js'

const packTokens = (ids: Int32Array[], pipeline: Pipeline, padId: number, vocab: number) =>
  finish(batches.packTokens(ids, { pipeline, padId, vocab }))
const packMatrix = (...args: Parameters<typeof batches.packMatrix>) => finish(batches.packMatrix(...args))
const packEmbeds = (...args: Parameters<typeof batches.packEmbeds>) => finish(batches.packEmbeds(...args))
const packPadded = (...args: Parameters<typeof batches.packPaddedMatrix>) =>
  finish(batches.packPaddedMatrix(...args))

const i32 = (...values: number[]) => Int32Array.from(values)
const plain = (batch: PackedBatch) =>
  Object.fromEntries(
    Object.entries(batch).map(([key, value]: [string, number | Int32Array]) => [
      key,
      typeof value === 'number' ? value : [...value],
    ]),
  )
const short = (pipeline: Pipeline): Pipeline => ({ ...pipeline, maxTokens: 4 })
const pack = (pipeline: Pipeline) => plain(packTokens([i32(7, 8, 1), i32(1)], short(pipeline), 0, 10))

describe('prompts', () => {
  it('are packed without padding, each token with its place in its row and in the result', () => {
    expect(pack(pipelines.none)).toEqual({
      rows: 2,
      tokens: 3,
      starts: [0, 3, 4],
      ids: [7, 8, 1, 1],
      indices: [0, 1, 2, 0],
      visible: [1, 1, 1, 1],
      outputRows: [0, 1, 2, 3],
      attentionMask: [1, 1, 1, 1, 0, 0],
    })
  })

  it('masked by their pipeline leave pads out; the result has its full length', () => {
    expect(pack(pipelines['pixart-sigma'])).toMatchObject({
      tokens: 4,
      ids: [7, 8, 1, 1],
      outputRows: [0, 1, 2, 4],
      attentionMask: [1, 1, 1, 0, 1, 0, 0, 0],
    })
  })

  it('of a pipeline without a mask have pads as tokens, attended to; LTX alone masks the denoiser', () => {
    const flux = pack(pipelines.flux)
    expect(flux).toMatchObject({
      starts: [0, 4, 8],
      ids: [7, 8, 1, 0, 1, 0, 0, 0],
      indices: [0, 1, 2, 3, 0, 1, 2, 3],
      visible: Array(8).fill(1),
      attentionMask: Array(8).fill(1),
    })
    expect(pack(pipelines.ltx)).toEqual({ ...flux, attentionMask: [1, 1, 1, 0, 1, 0, 0, 0] })
  })

  it('of Wan are zero-padded and unmasked for the denoiser', () => {
    expect(pack(pipelines.wan)).toMatchObject({ ids: [7, 8, 1, 1], attentionMask: Array(8).fill(1) })
  })

  it('of Chroma keep one pad: computed, unseen by the tokens, seen by the denoiser', () => {
    expect(pack(pipelines.chroma)).toMatchObject({
      starts: [0, 4, 6],
      ids: [7, 8, 1, 0, 1, 0],
      indices: [0, 1, 2, 3, 0, 1],
      visible: [1, 1, 1, 0, 1, 0],
      outputRows: [0, 1, 2, 3, 4, 5],
      attentionMask: [1, 1, 1, 1, 1, 1, 0, 0],
    })
    const full = packTokens([i32(5, 6, 7, 1)], short(pipelines.chroma), 0, 10)
    expect(plain(full)).toMatchObject({ ids: [5, 6, 7, 1], attentionMask: [1, 1, 1, 1] })
  })

  it.each<[string, Int32Array[], string]>([
    ['an empty batch', [], 'prompts: found none, expected at least one'],
    ['a prompt without eos', [i32()], 'prompts[0]: found 0 tokens'],
    [
      'a prompt that was not cut',
      [i32(1), i32(1, 2, 3, 4, 5)],
      'prompts[1]: found 5 tokens, expected 1 to 4',
    ],
    ['an id past the vocabulary', [i32(1, 10)], 'prompts[0]: token 1: found id 10, expected 0 to 9'],
    ['a negative id', [i32(-1)], 'found id -1'],
  ])('%s is an InputError', (_, ids, message) => {
    expect(() => packTokens(ids, short(pipelines.flux), 0, 10)).toThrow(InputError)
    expect(() => packTokens(ids, short(pipelines.flux), 0, 10)).toThrow(message)
  })

  it('cannot be padded with an id outside the vocabulary', () => {
    expect(() => packTokens([i32(1)], pipelines.flux, 10, 10)).toThrow('pad id: found 10')
  })
})

describe('a matrix of ids', () => {
  const ids = { data: i32(1, 2, 3, 4, 5, 6), shape: [2, 3] }
  const mask = i32(0, 1, 0, 0, 0, 0) // a hole on either side, and a row masked whole

  it('without a mask is every token', () => {
    expect(plain(packMatrix(ids, undefined, { masked: 'compute', vocab: 9 }))).toEqual({
      rows: 2,
      tokens: 3,
      starts: [0, 3, 6],
      ids: [1, 2, 3, 4, 5, 6],
      indices: [0, 1, 2, 0, 1, 2],
      visible: [1, 1, 1, 1, 1, 1],
      outputRows: [0, 1, 2, 3, 4, 5],
      attentionMask: [1, 1, 1, 1, 1, 1],
    })
  })

  it('computes masked tokens as Hugging Face does: no one attends to them', () => {
    expect(plain(packMatrix(ids, mask, { masked: 'compute', vocab: 9 }))).toMatchObject({
      starts: [0, 3, 6],
      visible: [0, 1, 0, 0, 0, 0],
      attentionMask: [...mask],
    })
  })

  it('or leaves them out; indices stay those of the row, and a row masked whole is no sequence', () => {
    expect(plain(packMatrix(ids, mask, { masked: 'zero', vocab: 9 }))).toEqual({
      rows: 2,
      tokens: 3,
      starts: [0, 1],
      ids: [2],
      indices: [1],
      visible: [1],
      outputRows: [1],
      attentionMask: [...mask],
    })
    const nothing = packMatrix(ids, new Int32Array(6), { masked: 'zero', vocab: 9 })
    expect([...nothing.starts]).toEqual([0])
    expect(splitBatch(nothing, 8)).toEqual([])
  })

  it.each<[string, () => unknown, string]>([
    [
      'a mask of another size',
      () => packMatrix(ids, i32(1), { masked: 'compute', vocab: 9 }),
      'attentionMask: found 1 entries, expected 6',
    ],
    [
      'a mask of twos',
      () => packMatrix(ids, i32(1, 1, 1, 1, 2, 1), { masked: 'compute', vocab: 9 }),
      'attentionMask[1, 1]: found 2, expected 0 or 1',
    ],
    [
      'an id past the vocabulary',
      () => packMatrix(ids, undefined, { masked: 'zero', vocab: 6 }),
      'inputIds[1, 2]: found id 6, expected 0 to 5',
    ],
    [
      'a model without ids',
      () => packMatrix(ids, undefined, { masked: 'zero', vocab: 0 }),
      'the model has no token embedding',
    ],
    [
      'a shape that lies',
      () => packMatrix({ ...ids, shape: [2, 4] }, undefined, { masked: 'zero', vocab: 9 }),
      'found 6 numbers in shape [2, 4], expected 8',
    ],
    [
      'no rows',
      () => packMatrix({ data: i32(), shape: [0, 3] }, undefined, { masked: 'zero', vocab: 9 }),
      'found shape [0, 3], expected [batch, tokens]',
    ],
    [
      'three dimensions',
      () => packMatrix({ ...ids, shape: [1, 2, 3] }, undefined, { masked: 'zero', vocab: 9 }),
      'found shape [1, 2, 3]',
    ],
  ])('%s is an InputError', (_, use, message) => {
    expect(use).toThrow(InputError)
    expect(use).toThrow(message)
  })
})

describe('embeddings', () => {
  const embeds = { data: Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8), shape: [2, 2, 2] }

  it('are packed as ids are', () => {
    const batch = packEmbeds(embeds, i32(0, 1, 1, 0), { masked: 'zero', width: 2 })
    expect(plain(batch)).toMatchObject({
      starts: [0, 1, 2],
      embeds: [3, 4, 5, 6],
      indices: [1, 0],
      outputRows: [1, 2],
    })
    expect(packEmbeds(embeds, undefined, { masked: 'compute', width: 2 }).embeds).toEqual(embeds.data)
  })

  it('must be finite where they are used, and as wide as the model', () => {
    const bad = { data: Float32Array.of(1, 2, 3, NaN, 5, 6, 7, 8), shape: [2, 2, 2] }
    expect(() => packEmbeds(bad, undefined, { masked: 'compute', width: 2 })).toThrow(
      'inputsEmbeds[0, 1, 1]: found NaN, expected a finite number',
    )
    const { embeds: used } = packEmbeds(bad, i32(1, 0, 1, 1), { masked: 'zero', width: 2 })
    expect(used).toEqual(Float32Array.of(1, 2, 5, 6, 7, 8))
    expect(() => packEmbeds(embeds, undefined, { masked: 'compute', width: 4 })).toThrow(
      'found width 2, expected 4',
    )
  })
})

describe('a pipeline', () => {
  const ids = { data: i32(7, 8, 1, 1, 5, 5), shape: [2, 3] }
  const mask = i32(1, 1, 1, 1, 0, 0)

  it.each(Object.entries(pipelines))('%s pads ids as it pads prompts', (_, preset) => {
    const options = { pipeline: short(preset), padId: 0, vocab: 10 }
    expect(packPadded(ids, mask, options)).toEqual(packTokens([i32(7, 8, 1), i32(1)], short(preset), 0, 10))
    expect(packPadded(ids, undefined, options)).toEqual(
      packTokens([i32(7, 8, 1), i32(1, 5, 5)], short(preset), 0, 10),
    )
  })

  it('pads embeddings where their pads are not computed', () => {
    const embeds = { data: Float32Array.of(1, 2, 3, 4), shape: [2, 2, 1] }
    const padded = (preset: Pipeline) =>
      packEmbeds(embeds, i32(1, 1, 1, 0), { masked: 'compute', width: 1, pipeline: short(preset) })
    expect(plain(padded(pipelines.mochi))).toMatchObject({
      tokens: 4,
      embeds: [1, 2, 3],
      outputRows: [0, 1, 4],
      attentionMask: [1, 1, 0, 0, 1, 0, 0, 0],
    })
    expect(() => padded(pipelines.flux)).toThrow('pipeline: found one whose pads are computed')
    expect(() => padded(pipelines.chroma)).toThrow('expected rows of 4 tokens')
    const full = { data: Float32Array.of(1, 2, 3, 4), shape: [1, 4, 1] }
    const flux = packEmbeds(full, undefined, { masked: 'compute', width: 1, pipeline: short(pipelines.flux) })
    expect(flux.embeds).toEqual(full.data)
  })

  it.each<[string, Int32Array, string]>([
    ['a hole', i32(1, 0, 1, 1, 1, 1), 'attentionMask[0, 2]: found 1 after 0, expected ones, then zeros'],
    ['padding on the left', i32(1, 1, 1, 0, 1, 1), 'attentionMask[1, 0]: found 0, expected ones'],
    ['twos', i32(1, 1, 2, 1, 1, 1), 'attentionMask[0, 2]: found 2, expected 0 or 1'],
  ])('refuses a mask with %s', (_, bad, message) => {
    const use = () => packPadded(ids, bad, { pipeline: pipelines.flux, padId: 0, vocab: 10 })
    expect(use).toThrow(InputError)
    expect(use).toThrow(message)
  })
})

describe('a large batch', () => {
  const rows = 1 << 14
  const largest = { data: new Int32Array(rows * 16).fill(2), shape: [rows, 16] }

  it('is packed in steps of at most 16,384 tokens', () => {
    const options = { pipeline: { ...pipelines.mochi, maxTokens: 16 }, padId: 0, vocab: 3 }
    const width = { ...largest, data: new Float32Array(rows * 16), shape: [rows, 16, 1] }
    for (const packing of [
      batches.packMatrix(largest, undefined, { masked: 'zero', vocab: 3 }),
      batches.packPaddedMatrix(largest, new Int32Array(rows * 16).fill(1), options),
      batches.packEmbeds(width, undefined, { masked: 'zero', width: 1 }),
    ]) {
      let steps = 1
      while (!packing.next().done) steps++
      expect(steps).toBeGreaterThanOrEqual((2 * rows * 16) / 16_384)
    }
  })

  it('can be called off while it is packed', async () => {
    const abort = new AbortController()
    const packing = batches.packMatrix(largest, undefined, { masked: 'zero', vocab: 3 })
    setImmediate(() => abort.abort())
    await expect(inTurns(packing, abort.signal)).rejects.toThrow('aborted')
  })

  it('is refused where it is larger, before anything is copied', () => {
    const shape = [rows * 32, 16]
    const use = () =>
      packMatrix({ data: { length: rows * 512 } as Int32Array, shape }, undefined, {
        masked: 'zero',
        vocab: 3,
      })
    expect(use).toThrow(`batch: found ${rows * 32} x 16 tokens, expected at most 4194304 in one call`)
  })

  it('has no row of more than 65536 tokens', () => {
    const refused = 'batch: found rows of 65537 tokens, expected at most 65536'
    const ids = { data: new Int32Array(65_537), shape: [1, 65_537] }
    const embeds = { data: new Float32Array(65_537), shape: [1, 65_537, 1] }
    const how = { masked: 'compute', vocab: 3, width: 1 } as const
    expect(() => finish(batches.packMatrix(ids, undefined, how))).toThrow(refused)
    expect(() => finish(batches.packEmbeds(embeds, undefined, how))).toThrow(refused)
    expect(() =>
      finish(batches.packMatrix({ data: ids.data.subarray(1), shape: [1, 65_536] }, undefined, how)),
    ).not.toThrow()
  })

  it('of embeddings must stay until it is packed', () => {
    const data = new Float32Array(((1 << 16) + 1) * 64) // more than are copied when the call is made
    const packing = batches.packEmbeds({ data, shape: [(1 << 16) + 1, 1, 64] }, undefined, {
      masked: 'zero',
      width: 64,
    })
    packing.next()
    structuredClone(data.buffer, { transfer: [data.buffer] })
    expect(() => finish(packing)).toThrow('inputsEmbeds: found an array whose buffer went elsewhere')
  })
})

describe('any mask', () => {
  const matrices = fc
    .tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 6 }))
    .chain(([rows, tokens]) =>
      fc.record({
        shape: fc.constant([rows, tokens]),
        data: fc.int32Array({ min: 0, max: 9, minLength: rows * tokens, maxLength: rows * tokens }),
        mask: fc.int32Array({ min: 0, max: 1, minLength: rows * tokens, maxLength: rows * tokens }),
      }),
    )

  it('packs each token that is wanted once, in order, and no other', () => {
    fc.assert(
      fc.property(
        matrices,
        fc.constantFrom('compute' as const, 'zero' as const),
        ({ data, shape, mask }, masked) => {
          const batch = packMatrix({ data, shape }, mask, { masked, vocab: 10 })
          const wanted = [...data.keys()].filter((t) => masked === 'compute' || mask[t] === 1)
          expect([...batch.outputRows]).toEqual(wanted)
          expect([...batch.ids!]).toEqual(wanted.map((t) => data[t]))
          expect([...batch.visible]).toEqual(wanted.map((t) => mask[t]))
          expect([...batch.indices]).toEqual(wanted.map((t) => t % shape[1]))
          for (const [s, start] of [...batch.starts.slice(0, -1)].entries()) {
            const rows = batch.outputRows
              .slice(start, batch.starts[s + 1])
              .map((t) => Math.floor(t / shape[1]))
            expect(new Set(rows).size).toBe(1)
          }
        },
      ),
    )
  })

  it('splits into whole sequences, all of them, within the limit unless one alone exceeds it', () => {
    fc.assert(
      fc.property(matrices, fc.integer({ min: 1, max: 12 }), ({ data, shape, mask }, limit) => {
        const batch = packMatrix({ data, shape }, mask, { masked: 'zero', vocab: 10 })
        const ranges = splitBatch(batch, limit)
        expect(
          ranges.flatMap(({ from, to }) => Array.from({ length: to - from }, (_, i) => from + i)),
        ).toEqual([...Array(batch.starts.length - 1).keys()])
        for (const { from, to } of ranges) {
          const tokens = batch.starts[to]! - batch.starts[from]!
          expect(tokens <= limit || to - from === 1).toBe(true)
          const next = batch.starts[to + 1] // none could have taken one more
          if (next !== undefined) expect(next - batch.starts[from]!).toBeGreaterThan(limit)
        }
      }),
    )
  })
})
