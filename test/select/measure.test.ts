import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { setTimeout } from 'node:timers/promises'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { Encoder } from '../../src/encoder.js'
import type { NativeHandle } from '../../src/native/addon.js'
import { Plan } from '../../src/plan/plan.js'
import { Evaluator } from '../../src/select/measure/evaluator.js'
import { searchSkips } from '../../src/select/moves/skip.js'
import { goldenChunks, goldenEvaluator, loadEngine, MODEL, SKRR } from './harness.js'

const golden = JSON.parse(readFileSync(join(SKRR, 'expected.json'), 'utf8')) as {
  single_skips: { mse_calibration: number; mse_null: number }[]
  ragged_single_skips: { over_real_tokens: number }[]
}
/** float32 against float64. A single term of D, sometimes of one token, averages out less rounding than D does. */
const close = (actual: number, expected: number): void =>
  expect(Math.abs(actual / expected - 1)).toBeLessThan(3e-6)

describe('D', () => {
  it('is the mean squared error over the calibration set plus that over the null condition', async () => {
    const evaluator = await goldenEvaluator()
    for (const [skip, expected] of golden.single_skips.entries()) {
      const D = await evaluator.discrepancy(Plan.skip(6, [skip]))
      close(D.calibration, expected.mse_calibration)
      close(D.null, expected.mse_null)
      expect(D.total).toBe(D.calibration + D.null)
    }
  })

  it('of prompts of unequal length is the mean over all real tokens, padding left out', async () => {
    const evaluator = await goldenEvaluator({ chunks: await goldenChunks('ragged') })
    for (const [skip, expected] of golden.ragged_single_skips.entries()) {
      close((await evaluator.discrepancy(Plan.skip(6, [skip]))).calibration, expected.over_real_tokens)
    }
  })

  it('with metric cosine is the mean of 1 - cos over tokens', async () => {
    const evaluator = await goldenEvaluator({ metric: 'cosine' })
    const plan = Plan.skip(6, [3, 8])
    const ids = (await readTensors(join(SKRR, 'inputs.safetensors'))).get('calibration.input_ids')!
    const input = { inputIds: { data: ids.data as Int32Array, shape: ids.shape } }
    const encoder = await Encoder.load(MODEL, { precision: 'f32', threads: 1 })
    onTestFinished(() => encoder.dispose().then(() => undefined))
    const dense = (await encoder.encode(input)).embeddings
    await encoder.setPlan(plan)
    const pruned = (await encoder.encode(input)).embeddings
    let sum = 0
    for (let t = 0; t < dense.length; t += 64) {
      let [ab, aa, bb] = [0, 0, 0]
      for (let i = t; i < t + 64; i++) {
        ab += dense[i]! * pruned[i]!
        aa += dense[i]! ** 2
        bb += pruned[i]! ** 2
      }
      sum += 1 - ab / Math.sqrt(aa * bb)
    }
    close((await evaluator.discrepancy(plan)).calibration, sum / (dense.length / 64))
  })

  it('of the dense plan is exactly zero', async () => {
    const evaluator = await goldenEvaluator()
    expect((await evaluator.discrepancy(Plan.dense(6))).total).toBe(0)
  })

  it('is bit for bit the same from shared states as from a run of its own, for any plans in any order', async () => {
    const [shared, alone] = [await goldenEvaluator(), await goldenEvaluator({ naive: true })]
    const source = (position: number) =>
      fc.oneof(
        { weight: 3, arbitrary: fc.constant(position) },
        fc.constant(null),
        fc.integer({ min: 0, max: 5 }).map((block) => 2 * block + (position % 2)),
      )
    const table = fc.tuple(...Array.from({ length: 12 }, (_, position) => source(position)))
    const scales = fc.array(fc.constantFrom(0.25, 0.5, 1, 1, 1.5), { minLength: 12, maxLength: 12 })
    await fc.assert(
      fc.asyncProperty(table, scales, async (t, s) => {
        const plan = new Plan(t, { scales: s })
        expect(await shared.discrepancy(plan)).toEqual(await alone.discrepancy(plan))
      }),
      { numRuns: 60 },
    )
    expect(shared.work.executed).toBeLessThan(alone.work.executed)
  })
})

describe('the cache of states', () => {
  const options = { beams: 2, dedup: true, reached: (skips: readonly number[]) => skips.length >= 5 }

  it('of any size gives the same beams, and stays within its budget', async () => {
    const stateBytes = 12 * 64 * 4
    const outcomes = []
    for (const cacheBytes of [0, 10 * stateBytes, 100 * stateBytes, 2 ** 30]) {
      const evaluator = await goldenEvaluator({ cacheBytes })
      const { beams } = await searchSkips(evaluator, options)
      expect(evaluator.memory.cachePeak).toBeLessThanOrEqual(cacheBytes)
      outcomes.push({ beams, executed: evaluator.work.executed })
    }
    for (const { beams } of outcomes) expect(beams).toEqual(outcomes[0]!.beams)
    const executed = outcomes.map((outcome) => outcome.executed)
    expect(executed).toEqual([...executed].sort((a, b) => b - a))
  })

  it('and all else is given back where making the evaluator is aborted', async () => {
    const engine = await loadEngine()
    const chunks = await goldenChunks()
    const controller = new AbortController()
    const disposals: unknown[] = []
    const watch = (name: 'begin' | 'loadMap' | 'features', abortAt: number): void => {
      const make = engine.native[name].bind(engine.native) as (...args: unknown[]) => Promise<NativeHandle>
      let calls = 0
      vi.spyOn(engine.native, name).mockImplementation(async (...args: unknown[]) => {
        if (++calls === abortAt) controller.abort(new Error('enough'))
        const handle = await make(...args)
        disposals.push(vi.spyOn(handle, 'dispose'))
        return handle
      })
    }
    const projection = [{ weight: new Float32Array(64), rows: 1, columns: 64 }]
    for (const [name, abortAt] of [
      ['begin', 2],
      ['features', 1],
    ] as const) {
      watch('loadMap', 0)
      watch('begin', name === 'begin' ? abortAt : 0)
      watch('features', name === 'features' ? abortAt : 0)
      const created = Evaluator.create({ engine, chunks, projection, signal: controller.signal })
      await expect(created).rejects.toThrow('enough')
      await setTimeout(50) // what was under way when it was aborted comes too late, and goes then
      expect(disposals.length).toBeGreaterThan(2)
      for (const disposal of disposals) expect(disposal).toHaveBeenCalled()
      vi.restoreAllMocks()
    }
  })

  it('is given back when the evaluator is disposed', async () => {
    const engine = await loadEngine()
    const evaluator = await Evaluator.create({ engine, chunks: await goldenChunks() })
    await searchSkips(evaluator, options)
    expect(evaluator.memory.cache).toBeGreaterThan(0)
    evaluator.dispose()
    expect(evaluator.memory.cache).toBe(0)
  })
})

describe('a wide linear projection', () => {
  it('is reduced to its triangle without changing D', async () => {
    const weight = Float32Array.from({ length: 200 * 64 }, (_, i) => Math.sin(i * 1.7) * (1 + (i % 64)))
    const projection = [{ weight, rows: 200, columns: 64 }]
    const [reduced, full] = [
      await goldenEvaluator({ projection }),
      await goldenEvaluator({ projection, naive: true }),
    ]
    for (const skip of [0, 5, 11]) {
      const plan = Plan.skip(6, [skip])
      close((await reduced.discrepancy(plan)).total, (await full.discrepancy(plan)).total)
    }
    expect(reduced.memory.reference).toBeLessThan(full.memory.reference / 2)
  })
})
