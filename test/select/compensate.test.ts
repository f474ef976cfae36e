import { blocksOf } from '../../src/model/parameters.js'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { Encoder } from '../../src/encoder.js'
import {
  selectPlan,
  type SelectOptions,
  type SelectProgress,
  type Selection,
} from '../../src/select/index.js'
import { finish } from '../../src/io/turns.js'
import { packMatrix } from '../../src/prompts/batch.js'
import { Plan } from '../../src/plan/plan.js'
import { chunksOf } from '../../src/select/measure/calibration.js'
import { compensate } from '../../src/select/methods/compensate.js'
import { writeReport } from '../../src/report/report.js'
import { rejection, temporaryFolder } from '../checkpoint/helpers.js'
import { relativeError } from '../tolerance.js'
import { goldenChunks, goldenEvaluator, MODEL, SKRR } from './harness.js'

async function load(): Promise<Encoder> {
  const encoder = await Encoder.load(MODEL, { precision: 'f32', threads: 1 })
  onTestFinished(() => encoder.dispose().then(() => undefined))
  return encoder
}

/** Forty prompts: the golden calibration set repeated, each time with other ids. */
async function prompts(rows = 40) {
  const ids = (await readTensors(join(SKRR, 'inputs.safetensors'))).get('calibration.input_ids')!
  const [count, tokens] = ids.shape as [number, number]
  const data = Int32Array.from({ length: rows * tokens }, (_, i) => {
    const [row, column] = [Math.floor(i / tokens), i % tokens]
    return 3 + (((ids.data as Int32Array)[(row % count) * tokens + column]! + 7 * row) % 40)
  })
  return { inputIds: { data, shape: [rows, tokens] } }
}

const options: SelectOptions = { target: { skipCount: 4 }, method: 'paper', beams: 1, compensate: 8 }

describe('selectPlan with a compensation', () => {
  let bare: Selection
  let found: Selection
  const seen: SelectProgress[] = []
  beforeAll(async () => {
    const encoder = await Encoder.load(MODEL, { precision: 'f32', threads: 1 })
    bare = await selectPlan(encoder, await prompts(), { ...options, compensate: 0 })
    found = await selectPlan(encoder, await prompts(), { ...options, onProgress: (one) => seen.push(one) })
    await encoder.dispose()
  })

  it('fits a map to the plan it would choose without, and comes below it', () => {
    expect(found.plan.table).toEqual(bare.plan.table)
    expect(found.plan.compensation!.rank).toBe(8)
    expect(bare.plan.compensation).toBeUndefined()
    expect(found.D.total).toBeLessThan(0.95 * bare.D.total)
    expect(found.trace.D).toBe(found.D.total)
  })

  it('chooses the ridge by D on what it left out of the fit, and says so', () => {
    const { compensation } = found.trace
    const { held_out, ridges, ridge } = compensation!
    const minD = Math.min(...ridges.map(({ D }) => D))
    expect(ridges.find((each) => each.ridge === ridge)!.D).toBe(minD)
    expect(minD).toBeLessThan(0.99 * held_out.D)
    expect(held_out.tokens).toBeGreaterThan(0)
    expect(held_out.tokens).toBeLessThan((found.plan.provenance!['tokens'] as number) / 3)
    expect(found.plan.provenance).toMatchObject({
      compensation: { ridge, heldOut: { tokens: held_out.tokens, D: held_out.D, withCompensation: minD } },
    })
  })

  it('counts its forward passes, and shows its progress to the end', () => {
    expect(found.work.executed).toBeGreaterThan(bare.work.executed)
    expect(found.work.naive).toBeGreaterThan(bare.work.naive)
    const fractions = seen.filter(({ phase }) => phase === 'compensate').map(({ fraction }) => fraction!)
    expect(fractions).toEqual(fractions.toSorted((a, b) => a - b))
    expect(fractions.at(-1)).toBe(1)
    expect(new Set(seen.map(({ phase }) => phase))).toEqual(new Set(['dense', 'skip', 'reuse', 'compensate']))
  })

  it('helps prompts it never saw, by what the encoder gives under the plan', async () => {
    const encoder = await load()
    const all = await prompts(60)
    const [, tokens] = all.inputIds.shape as [number, number]
    const unseen = { inputIds: { data: all.inputIds.data.subarray(40 * tokens), shape: [20, tokens] } }
    const dense = (await encoder.encode(unseen)).embeddings
    const error = async (plan: Plan): Promise<number> => {
      await encoder.setPlan(plan)
      return relativeError((await encoder.encode(unseen)).embeddings, dense)
    }
    expect(await error(found.plan)).toBeLessThan(0.99 * (await error(bare.plan)))
  })

  it('goes on after an interruption to the identical plan', async () => {
    const encoder = await load()
    const journal = join(await temporaryFolder(), 'journal')
    const controller = new AbortController()
    const stopped = selectPlan(encoder, await prompts(), {
      ...options,
      journal,
      signal: controller.signal,
      onProgress: ({ phase, fraction }) => {
        if (phase === 'compensate' && fraction! > 0.9) controller.abort(new Error('stopped'))
      },
    })
    await expect(stopped).rejects.toThrow('stopped')
    const other = selectPlan(encoder, await prompts(), { ...options, compensate: 4, journal, resume: true })
    await expect(other).rejects.toThrow(/another set of options/)
    const resumed = await selectPlan(encoder, await prompts(), { ...options, journal, resume: true })
    expect(resumed.plan.stringify()).toBe(found.plan.stringify())
    expect(resumed.work.executed).toBeLessThan(found.work.executed)
  })

  it('is the same on any number of threads', async () => {
    const encoder = await Encoder.load(MODEL, { precision: 'f32', threads: 3 })
    onTestFinished(() => encoder.dispose().then(() => undefined))
    const { plan } = await selectPlan(encoder, await prompts(), options)
    expect(plan.stringify()).toBe(found.plan.stringify())
  })

  it('leaves a plan alone where it would help too little', async () => {
    const { data, shape } = (await prompts()).inputIds
    const chunks = chunksOf(
      finish(packMatrix({ data, shape }, undefined, { masked: 'zero', vocab: 1e5 })),
      64,
      false,
    )
    const isNull = (await goldenChunks()).filter((chunk) => chunk.isNull)
    const evaluator = await goldenEvaluator({ chunks: [...chunks, ...isNull] })
    const dense = Plan.dense(blocksOf(evaluator.architecture))
    const { plan, trace } = await compensate(evaluator, dense, 8, () => undefined)
    expect(plan).toBe(dense)
    expect(trace).toMatchObject({ rank: 8, ridge: null, held_out: { D: 0 } })
  })

  it('is in the report: its D, and the plan without its numbers', async () => {
    const file = join(await temporaryFolder(), 'report.html')
    const { architecture } = await load()
    await writeReport(file, [found], { architecture, precision: 'f32', model: 'm', plan: 'plan.json' })
    const page = await readFile(file, 'utf8')
    expect(page).toContain('compensation: D ')
    expect(page).toContain('rank-8 compensation')
    expect(page).not.toContain(found.plan.toJSON().compensation!.down)
  })

  it('keeps a target of bytes or sparsity with the map counted in', async () => {
    const encoder = await load()
    const { architecture } = encoder
    const bytes = 4 * bare.plan.parameters(architecture)
    const exact = await selectPlan(encoder, await prompts(), { ...options, compensate: 0, target: { bytes } })
    expect(4 * exact.plan.parameters(architecture)).toBe(bytes)
    const { plan } = await selectPlan(encoder, await prompts(), { ...options, target: { bytes } })
    expect(4 * plan.parameters(architecture)).toBeLessThanOrEqual(bytes)
    const sparsity = bare.plan.sparsity(architecture)
    const sparse = await selectPlan(encoder, await prompts(), { ...options, target: { sparsity } })
    expect(sparse.plan.sparsity(architecture)).toBeGreaterThanOrEqual(sparsity)
  })

  it.each<[Partial<SelectOptions>, number, RegExp]>([
    [{ compensate: -1 }, 40, /compensate: found -1, expected a rank of 1 to 256, or 0 for none/],
    [{ compensate: 1.5 }, 40, /compensate: found 1.5/],
    [{ compensate: 257 }, 40, /compensate: found 257/],
    [{ compensate: 65 }, 40, /compensate: found rank 65, expected at most 64/],
    [{}, 4, /compensate: found a calibration set of 4 parts, expected at least 8/],
    [{ chunkTokens: 1000 }, 40, /compensate: found a calibration set of 1 part, .*smaller chunkTokens/],
  ])('%o and %d prompts are refused', async (more, rows, message) => {
    const error = await rejection(selectPlan(await load(), await prompts(rows), { ...options, ...more }))
    expect(error.message).toMatch(message)
  })
})
