import { t5Architecture } from '../../src/families/t5.js'
import { blocksOf } from '../../src/model/parameters.js'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { writeSynthetic } from '../../src/export/synthetic.js'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { Encoder } from '../../src/encoder.js'
import { Plan } from '../../src/plan/plan.js'
import { selectPlan, type SelectOptions, type SelectProgress } from '../../src/select/index.js'
import { DATA, GOLDEN, rejection, temporaryFolder } from '../checkpoint/helpers.js'
import { tinySizes } from '../plan/models.js'
import { MODEL, SKRR } from './harness.js'

async function load(): Promise<Encoder> {
  const encoder = await Encoder.load(MODEL, { precision: 'f32', threads: 1 })
  onTestFinished(() => encoder.dispose().then(() => undefined))
  return encoder
}

async function calibration() {
  const ids = (await readTensors(join(SKRR, 'inputs.safetensors'))).get('calibration.input_ids')!
  return { inputIds: { data: ids.data as Int32Array, shape: ids.shape } }
}

const PIXART = join(GOLDEN, 'projections/pixart.safetensors')

describe('selectPlan', () => {
  it('with method paper chooses the published plan, the empty prompt being the null condition', async () => {
    const options = { target: { skipCount: 8 }, method: 'paper', fullTrace: true } as const
    const { plan, trace } = await selectPlan(await load(), await calibration(), options)
    // the golden run proj-none.k3.duplicates
    expect(plan.table.map((source) => source ?? -1)).toEqual([-1, -1, 2, 5, 2, 5, 2, 7, 10, 7, 10, 7])
    expect(trace.result!.skips).toEqual([9, 8, 3, 4, 1, 0, 11, 6])
    expect(trace.steps!.every(({ expansions }) => expansions.every(({ D }) => D !== null))).toBe(true)
    expect(plan.provenance).toMatchObject({ method: 'paper', skips: [9, 8, 3, 4, 1, 0, 11, 6] })
  })

  it('with method skrr comes below the published method at the same bytes', async () => {
    const encoder = await load()
    const paper = await selectPlan(encoder, await calibration(), {
      target: { skipCount: 6 },
      method: 'paper',
      projection: PIXART,
    })
    const ours = await selectPlan(encoder, await calibration(), {
      target: { sparsity: paper.plan.sparsity(encoder.architecture) },
      projection: PIXART,
    })
    expect(ours.plan.sparsity(encoder.architecture)).toBeGreaterThanOrEqual(
      paper.plan.sparsity(encoder.architecture),
    )
    expect(ours.D.total).toBeLessThan(paper.D.total)
    expect(ours.trace.refine!.length).toBeGreaterThan(0)
  })

  it('is never worse for its second start, and says which led to the plan', async () => {
    const encoder = await load()
    const at = async (skipCount: number, joint: boolean) =>
      selectPlan(encoder, await calibration(), { target: { skipCount }, projection: PIXART, joint })
    const led = new Set<string>()
    for (const skipCount of [1, 4]) {
      const [both, one] = [await at(skipCount, true), await at(skipCount, false)]
      expect(both.D.total).toBeLessThanOrEqual(one.D.total * (1 + 1e-6))
      expect(both.plan.provenance).toMatchObject({ joint: true })
      expect(both.trace.joint!.at(-1)!.skips).toHaveLength(skipCount)
      expect(one.trace.joint).toBeUndefined()
      expect(one.trace.start).toBe('skip')
      led.add(both.trace.start!)
    }
    expect([...led].sort()).toEqual(['joint', 'skip'])
  })

  it.each(['skrr', 'paper', 'finercut', 'shortgpt', 'laco'] as const)(
    'by method %s reaches a target of sparsity, of bytes and of a number of sub-blocks',
    async (method) => {
      const encoder = await load()
      const { architecture } = encoder
      const at = async (target: SelectOptions['target']) =>
        (await selectPlan(encoder, await calibration(), { target, method, beams: 2 })).plan
      expect((await at({ sparsity: 0.3 })).sparsity(architecture)).toBeGreaterThanOrEqual(0.3)
      const half = Plan.dense(blocksOf(architecture)).parameters(architecture) * 4 * 0.7
      expect((await at({ bytes: half })).parameters(architecture) * 4).toBeLessThanOrEqual(half)
      const removed = 2 * blocksOf(architecture) - (await at({ skipCount: 4 })).sources().length
      expect(removed).toBeGreaterThanOrEqual(4)
    },
  )

  it('takes prompts, and shows its progress with the best plan so far', async () => {
    const folder = join(await temporaryFolder(), 'model')
    await writeSynthetic(folder, t5Architecture({ ...tinySizes, vocab: 32128 }), {
      dtype: 'F32',
      seed: 1,
      tokenizerFrom: join(DATA, 'tokenizers/t5'),
    })
    const encoder = await Encoder.load(folder)
    onTestFinished(() => encoder.dispose().then(() => undefined))
    const seen: SelectProgress[] = []
    const prompts = ['a cat', 'a dog made of glass', 'rain']
    const { plan } = await selectPlan(encoder, prompts, {
      target: { skipCount: 2 },
      onProgress: (progress) => seen.push(progress),
    })
    expect(new Set(seen.map(({ phase }) => phase))).toEqual(new Set(['dense', 'skip', 'joint', 'refine']))
    expect(plan.sources().length).toBe(6)
    expect(seen.at(-1)!.plan.table).toEqual(plan.table)

    const long = selectPlan(encoder, ['a cat', 'cat '.repeat(20)], { target: { skipCount: 1 }, maxTokens: 8 })
    await expect(long).rejects.toThrow(/calibration\[1\]: found a prompt of more than 8 tokens/)
  })

  it('leaves the encoder with its own plan and its own weights', async () => {
    const encoder = await load()
    const plan = Plan.skip(blocksOf(encoder.architecture), [3, 4])
    await encoder.setPlan(plan, { release: true })
    const { weights } = encoder.memory
    await selectPlan(encoder, await calibration(), { target: { skipCount: 1 }, method: 'paper' })
    expect(encoder.plan).toBe(plan)
    expect(encoder.memory.weights).toBe(weights)
  })

  it('stops at once when aborted', async () => {
    const controller = new AbortController()
    const search = selectPlan(await load(), await calibration(), {
      target: { skipCount: 8 },
      signal: controller.signal,
      onProgress: ({ phase }) => {
        if (phase === 'skip') controller.abort(new Error('enough'))
      },
    })
    await expect(search).rejects.toThrow('enough')
  })

  describe('refuses, with the reason,', () => {
    const ids = (rows: number[][]) => ({
      inputIds: { data: Int32Array.from(rows.flat()), shape: [rows.length, rows[0]?.length ?? 0] },
    })
    it.each<[string, object, Partial<SelectOptions>, RegExp]>([
      ['no prompt', [], {}, /calibration: found no prompt/],
      ['one prompt', ids([[5, 1]]), {}, /calibration: found one prompt, expected at least 2/],
      ['a row without a real token', { ...ids([[5, 1], [6, 1]]), attentionMask: Int32Array.of(1, 1, 0, 0) }, {}, /masked/], // prettier-ignore
      ['a sparsity of nothing', ids([[5, 1], [6, 1]]), { target: { sparsity: 0 } }, /target.sparsity: found 0/], // prettier-ignore
      ['a sparsity only reached without the token embedding', ids([[5, 1], [6, 1]]), { target: { sparsity: 0.999 } }, /at most 0\.\d+: .*token embedding/], // prettier-ignore
      ['bytes below the token embedding', ids([[5, 1], [6, 1]]), { target: { bytes: 1000 } }, /target.bytes: found 1000.*token embedding.*weigh/], // prettier-ignore
      ['more sub-blocks than there are', ids([[5, 1], [6, 1]]), { target: { skipCount: 13 } }, /skipCount: found 13/], // prettier-ignore
      ['a projection of another width', ids([[5, 1], [6, 1]]), { projection: PIXART.replace('pixart', 'narrow') }, /narrow/], // prettier-ignore
      ['no beams', ids([[5, 1], [6, 1]]), { beams: 0 }, /beams: found 0/], // prettier-ignore
      ['a method it does not know', ids([[5, 1], [6, 1]]), { method: 'best' as 'skrr' }, /method: found "best"/], // prettier-ignore
    ])('%s', async (_, input, options, message) => {
      const encoder = await load()
      const error = await rejection(
        selectPlan(encoder, input as never, { target: { skipCount: 2 }, ...options }),
      )
      expect(error.message).toMatch(message)
    })

    it('a projection or calibration set that overflows', async () => {
      const projection = [{ weight: new Float32Array(64).fill(3e38), rows: 1, columns: 64 }]
      const search = selectPlan(await load(), await calibration(), { target: { skipCount: 2 }, projection })
      await expect(search).rejects.toThrow(/the dense encoder gives NaN or infinite features/)
    })
  })
})
