import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Plan, selectPlan, Encoder } from '../../src/index.js'
import { golden } from '../golden.js'

const ids = Int32Array.from({ length: 4 * 12 }, (_, i) => 2 + ((i * 37) % 250))
const calibration = { inputIds: { data: ids, shape: [4, 12] } }

describe('LaCo', () => {
  let encoder: Encoder
  beforeAll(async () => void (encoder = await Encoder.load(golden('t5-tiny-v11'))))
  afterAll(() => encoder.dispose())

  it('removes whole blocks, never the last of a pair, until the target', async () => {
    const { plan } = await selectPlan(encoder, calibration, { method: 'laco', target: { skipCount: 6 } })
    const skipped = plan.skipped()
    expect(skipped).toHaveLength(6)
    for (const s of skipped.filter((s) => s % 2 === 0)) expect(skipped).toContain(s + 1)
    expect(skipped).not.toContain(11) // the last block is what others are merged into
    expect(plan.reused()).toEqual({})
  })

  it('keeps a merge where the output stays similar, and tells every one it tried', async () => {
    const { trace, plan } = await selectPlan(encoder, calibration, {
      method: 'laco',
      target: { skipCount: 4 },
    })
    const merges = trace.merges!
    for (const { similarity, threshold, kept } of merges) expect(kept).toBe(similarity > threshold)
    expect(merges[0]).toMatchObject({ block: 4, threshold: 0.7 }) // the last pair comes first
    const gone = merges.filter(({ kept }) => kept).map(({ block }) => block)
    expect(
      plan.equals(
        Plan.skip(
          6,
          gone.flatMap((block) => [2 * block, 2 * block + 1]),
        ),
      ),
    ).toBe(true)
  })

  it('measures the cosine of the output as Hugging Face would see it', async () => {
    const { trace } = await selectPlan(encoder, calibration, { method: 'laco', target: { skipCount: 2 } })
    const [first] = trace.merges!
    const dense = (await encoder.encode(calibration)).embeddings
    await encoder.setPlan(Plan.skip(6, [8, 9]))
    const merged = (await encoder.encode(calibration)).embeddings
    await encoder.setPlan('dense')
    let sum = 0
    for (let token = 0; token < 48; token++) {
      let [dot, aa, bb] = [0, 0, 0]
      for (let c = 64 * token; c < 64 * (token + 1); c++) {
        dot += dense[c]! * merged[c]!
        aa += dense[c]! ** 2
        bb += merged[c]! ** 2
      }
      sum += dot / Math.sqrt(aa * bb)
    }
    expect(first!.similarity).toBeCloseTo(sum / 48, 6)
  })
})
