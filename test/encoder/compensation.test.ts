import { blocksOf } from '../../src/model/parameters.js'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { exportCheckpoint, exportPacked, openCheckpoint, Plan, Encoder } from '../../src/index.js'
import type { Compensation } from '../../src/plan/compensation.js'
import { temporaryFolder } from '../checkpoint/helpers.js'
import { golden, goldenCases, goldenInput } from '../golden.js'
import { relativeError, TOLERANCE } from '../tolerance.js'
import { describeOn } from './devices.js'

const model = golden('t5-tiny-v11')
const { architecture } = await openCheckpoint(model)
const { width } = architecture
const blocks = blocksOf(architecture)
const tensors = await readTensors(golden('t5-tiny-v11-plans', 'expected.safetensors'))
const input = goldenInput(tensors, 'input.b')

/** Numbers that depend only on their place, of a fitted map's size. */
function compensation(rank: number, seed = 1): Compensation {
  const factor = (s: number) =>
    Float32Array.from({ length: rank * width }, (_, i) => Math.sin(s * 1000 + i * i) / Math.sqrt(width))
  return { rank, down: factor(seed), up: factor(seed + 0.5) }
}

const withMap = (plan: Plan, map: Compensation): Plan =>
  new Plan(plan.table, { scales: plan.scales, compensation: map })

/** y + sum of (down_j . y) up_j for each row, in double. */
function compensated(embeddings: ArrayLike<number>, { rank, down, up }: Compensation): Float64Array {
  const out = Float64Array.from(embeddings)
  for (let row = 0; row < out.length; row += width) {
    for (let j = 0; j < rank * width; j += width) {
      let product = 0
      for (let i = 0; i < width; i++) product += down[j + i]! * embeddings[row + i]!
      for (let i = 0; i < width; i++) out[row + i]! += product * up[j + i]!
    }
  }
  return out
}

for (const [device, tolerance] of [
  ['cpu', TOLERANCE.f32],
  ['cuda', TOLERANCE.bf16Weights],
] as const) {
  describeOn(device, 'a compensation', () => {
    it.each([1, 8, 37])('of rank %d is what float64 and a double sum give', async (rank) => {
      const plan = withMap(Plan.dense(blocks), compensation(rank))
      await using encoder = await Encoder.load(model, { plan, device })
      for (const { input: one, expected } of await goldenCases('t5-tiny-v11')) {
        const { embeddings } = await encoder.encode(one)
        expect(relativeError(embeddings, compensated(expected, plan.compensation!))).toBeLessThan(tolerance)
      }
    })

    it('is added to what the same plan gives without, whatever ran before or after', async () => {
      const bare = Plan.skip(blocks, [4, 5], { 5: 7 })
      const [one, two] = [withMap(bare, compensation(3)), withMap(bare, compensation(3, 2))]
      await using encoder = await Encoder.load(model, { plan: bare, device })
      const plain = await encoder.encode(input)
      const held = encoder.memory.weights
      for (const plan of [one, two]) {
        await encoder.setPlan(plan)
        const { embeddings } = await encoder.encode(input)
        const expected = compensated(plain.embeddings, plan.compensation!)
        expect(relativeError(embeddings, expected)).toBeLessThan(1e-6)
        expect(encoder.memory.weights).toBe(
          (await Encoder.estimate(model, { plan, device, precision: encoder.precision })).weights,
        )
      }
      const before = encoder.encode(input) // of the plan it was made under
      await encoder.setPlan(bare)
      expect(
        relativeError((await before).embeddings, compensated(plain.embeddings, two.compensation!)),
      ).toBeLessThan(1e-6)
      expect((await encoder.encode(input)).embeddings).toEqual(plain.embeddings)
      expect(encoder.memory.weights).toBe(held)
    })

    it('is freed with the encoder', async () => {
      const encoder = await Encoder.load(model, {
        plan: withMap(Plan.dense(blocks), compensation(2)),
        device,
      })
      await encoder.encode(input)
      const { weights, workspace } = encoder.memory
      expect(await encoder.dispose()).toBe(weights + workspace)
      await expect(encoder.encode(input)).rejects.toMatchObject({ code: 'ERR_DISPOSED' })
    })
  })
}

describe('a compensated plan', () => {
  const plan = withMap(Plan.skip(blocks, [2, 3], { 3: 1 }), compensation(4))

  it('of another width is refused, and the encoder keeps its own', async () => {
    await using encoder = await Encoder.load(model)
    const narrow = { rank: 1, down: new Float32Array(width - 1), up: new Float32Array(width - 1) }
    await expect(encoder.setPlan(withMap(Plan.dense(blocks), narrow))).rejects.toThrow(
      `compensation: found rows of ${width - 1}, expected ${width}`,
    )
    expect(encoder.plan.equals(Plan.dense(blocks))).toBe(true)
  })

  it('comes back from its exports, plain, packed and materialised', async () => {
    const folder = await temporaryFolder()
    const checkpoint = await openCheckpoint(model)
    const plain = join(folder, 'plain')
    const ordinary = join(folder, 'ordinary')
    const packed = join(folder, 'packed')
    await exportCheckpoint(checkpoint, plan, plain)
    await exportCheckpoint(checkpoint, plan, ordinary, { materialize: true })
    await exportPacked(checkpoint, plan, packed, { precision: 'int8' })
    await using direct = await Encoder.load(model, { plan })
    await using int8 = await Encoder.load(model, { plan, precision: 'int8' })
    for (const [out, same, tolerance] of [
      [plain, direct, 0],
      [ordinary, direct, 0],
      [packed, int8, TOLERANCE.int8], // its token embedding is bf16
    ] as const) {
      await using exported = await Encoder.load(out)
      expect(exported.plan.compensation).toEqual(plan.compensation)
      const [a, b] = [await exported.encode(input), await same.encode(input)]
      expect(relativeError(a.embeddings, b.embeddings)).toBeLessThanOrEqual(tolerance)
      expect((await Encoder.estimate(out)).weights).toBe(exported.memory.weights)
    }
    expect(Plan.parse(await readFile(join(ordinary, 'skrr-plan.json'), 'utf8')).table).toEqual(
      Plan.dense(blocks).table,
    )
  })
})
