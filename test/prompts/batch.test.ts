import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { packEmbeds, packMatrix, packTokens, splitBatch, type PackedBatch } from '../../src/prompts/batch.js'
import { InputError } from '../../src/errors.js'
import { pipelines, type Pipeline } from '../../src/pipelines/index.js'

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
      positions: [0, 1, 2, 0],
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
      positions: [0, 1, 2, 3, 0, 1, 2, 3],
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
      positions: [0, 1, 2, 3, 0, 1],
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
      positions: [0, 1, 2, 0, 1, 2],
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

  it('or leaves them out; positions stay those of the row, and a row masked whole is no sequence', () => {
    expect(plain(packMatrix(ids, mask, { masked: 'zero', vocab: 9 }))).toEqual({
      rows: 2,
      tokens: 3,
      starts: [0, 1],
      ids: [2],
      positions: [1],
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
      positions: [1, 0],
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
          expect([...batch.positions]).toEqual(wanted.map((t) => t % shape[1]))
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
