import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Encoder } from '../../src/index.js'
import { golden } from '../golden.js'
import { relativeError, TOLERANCE } from '../tolerance.js'

let encoder: Encoder
beforeAll(async () => void (encoder = await Encoder.load(golden('t5-tiny-v11'))))
afterAll(() => encoder.dispose())

const VOCAB = 256
const WIDTH = 64
const prompt = fc.array(fc.integer({ min: 0, max: VOCAB - 1 }), { minLength: 1, maxLength: 40 })

/** A right-padded batch of prompts with its mask, as tokenizers make it. */
function padded(prompts: readonly number[][]): Parameters<Encoder['encode']>[0] {
  const tokens = Math.max(...prompts.map((ids) => ids.length))
  const shape = [prompts.length, tokens]
  const pad = (ids: number[], value: number): number[] => [
    ...ids,
    ...Array<number>(tokens - ids.length).fill(value),
  ]
  return {
    inputIds: { data: Int32Array.from(prompts.flatMap((ids) => pad(ids, 0))), shape },
    attentionMask: Int32Array.from(
      prompts.flatMap((ids) =>
        pad(
          ids.map(() => 1),
          0,
        ),
      ),
    ),
  }
}

/** Each prompt's own rows of a batch. */
async function rowsOf(prompts: readonly number[][], masked: 'compute' | 'zero'): Promise<Float32Array[]> {
  const { embeddings, shape } = await encoder.encode(padded(prompts), { masked })
  return prompts.map((ids, row) => {
    const first = row * shape[1] * WIDTH
    return embeddings.slice(first, first + ids.length * WIDTH)
  })
}

describe('a prompt is embedded the same', () => {
  it('alone, in any batch and in any order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(prompt, { minLength: 1, maxLength: 6 }), async (prompts) => {
        const together = await rowsOf(prompts, 'compute')
        const reversed = (await rowsOf(prompts.toReversed(), 'zero')).toReversed()
        for (const [i, ids] of prompts.entries()) {
          const [alone] = await rowsOf([ids], 'compute')
          expect(relativeError(together[i]!, alone!)).toBeLessThan(TOLERANCE.row)
          expect(relativeError(reversed[i]!, alone!)).toBeLessThan(TOLERANCE.row)
        }
      }),
      { numRuns: 25 },
    )
  })

  it('by ids and by the rows of the embedding table', async () => {
    const { embedding } = encoder.checkpoint.fixed
    const { readTensors } = await import('../../src/checkpoint/tensor-file.js')
    const table = (await readTensors(embedding!.file)).get('shared.weight')!.data as Float32Array
    const ids = [7, 3, 250, 1]
    const data = Float32Array.from(ids.flatMap((id) => [...table.slice(id * WIDTH, (id + 1) * WIDTH)]))
    const byEmbeds = await encoder.encode({ inputsEmbeds: { data, shape: [1, 4, WIDTH] } })
    const byIds = await encoder.encode({ inputIds: { data: Int32Array.from(ids), shape: [1, 4] } })
    expect(byEmbeds.embeddings).toEqual(byIds.embeddings)
  })

  it('in every result type, up to its rounding', async () => {
    const input = padded([[5, 9, 200, 1]])
    const f32 = (await encoder.encode(input)).embeddings
    const { toFloat32 } = await import('../../src/model/half.js')
    for (const [output, dtype, step] of [
      ['bf16', 'BF16', 2 ** -9],
      ['f16', 'F16', 2 ** -11],
    ] as const) {
      const { embeddings } = await encoder.encode(input, { output })
      expect(embeddings).toBeInstanceOf(Uint16Array)
      const back = toFloat32(dtype, new Uint8Array(embeddings.buffer))
      expect(relativeError(back, f32)).toBeLessThan(step)
    }
  })

  it('whatever the number of threads, bit for bit', async () => {
    await using single = await Encoder.load(golden('t5-tiny-v11'), { threads: 1 })
    await using many = await Encoder.load(golden('t5-tiny-v11'), { threads: 5 })
    const input = padded([
      [5, 9, 200, 1],
      [8, 1],
    ])
    const [a, b] = await Promise.all([single.encode(input), many.encode(input)])
    expect(a.embeddings).toEqual(b.embeddings)
  })
})

describe('masked tokens of ids and embeddings', () => {
  it('have zero rows where asked, and are never computed then', async () => {
    const { embeddings } = await encoder.encode(
      padded([
        [5, 1],
        [9, 9, 9, 1],
      ]),
      { masked: 'zero' },
    )
    expect([...embeddings.slice(2 * WIDTH, 4 * WIDTH)]).toEqual(Array(2 * WIDTH).fill(0))
  })
})
