import { blocksOf } from '../../src/model/parameters.js'
import { readFileSync } from 'node:fs'
import { readFile, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { rejection, temporaryFolder } from '../checkpoint/helpers.js'
import { golden, goldenCases, goldenInput } from '../golden.js'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import {
  denseParameters,
  exportCheckpoint,
  openCheckpoint,
  Plan,
  PlanError,
  Encoder,
  type EncoderInput,
} from '../../src/index.js'

interface Plans {
  plans: Record<string, { plan: number[] }>
}
const { plans } = JSON.parse(readFileSync(golden('t5-tiny-v11-plans', 'expected.json'), 'utf8')) as Plans
const tensors = await readTensors(golden('t5-tiny-v11-plans', 'expected.safetensors'))
const input = goldenInput(tensors, 'input.b')
const cases = Object.entries(plans).map(([name, { plan }]) => ({
  name,
  plan: new Plan(plan.map((source) => (source < 0 ? null : source))),
}))
const V11 = golden('t5-tiny-v11')

async function embed(path: string, what: EncoderInput, plan?: Plan): Promise<Float32Array | Uint16Array> {
  await using encoder = await Encoder.load(path, { plan })
  return (await encoder.encode(what)).embeddings
}

/** Exports under a plan and hands over the new folder. */
async function exported(path: string, plan: Plan, materialize: boolean): Promise<string> {
  const out = join(await temporaryFolder(), 'out')
  await exportCheckpoint(await openCheckpoint(path), plan, out, { materialize })
  return out
}

describe('a checkpoint exported under a plan', () => {
  it.each(cases)(
    '$name: brings its plan along and gives the same embeddings, bit for bit',
    async ({ plan }) => {
      const out = await exported(V11, plan, false)
      await using encoder = await Encoder.load(out)
      expect(encoder.plan.equals(plan)).toBe(true)
      expect((await encoder.encode(input)).embeddings).toEqual(await embed(V11, input, plan))
    },
  )

  it.each(cases)('$name: is smaller on disk by the sparsity', async ({ plan }) => {
    const out = await exported(V11, plan, false)
    const { architecture } = await openCheckpoint(V11)
    const { size } = await stat(join(out, 'model.safetensors'))
    const header = Number((await readFile(join(out, 'model.safetensors'))).readBigUInt64LE()) + 8
    expect(size - header).toBe(4 * plan.parameters(architecture))
    expect((size - header) / (4 * denseParameters(architecture))).toBeCloseTo(
      1 - plan.sparsity(architecture),
      12,
    )
  })

  it('cannot run what was left out', async () => {
    const out = await exported(V11, Plan.skip(6, [4, 7]), false)
    for (const plan of ['dense', Plan.skip(6, [4])]) {
      const error = await rejection(Encoder.load(out, { plan }))
      expect(error).toBeInstanceOf(PlanError)
      expect(error.message).toBe(
        `${out}: sub-block ${plan === 'dense' ? 4 : 7}: found no weights: the checkpoint was exported under a plan without it, ` +
          'expected every source of the plan. Use the full checkpoint, or the plan in its skrr-plan.json',
      )
    }
    await using encoder = await Encoder.load(out)
    expect(await rejection(encoder.setPlan('dense'))).toBeInstanceOf(PlanError)
  })

  it('runs other plans over the weights it has', async () => {
    const out = await exported(V11, Plan.skip(6, [4, 7]), false)
    const plan = Plan.skip(6, [4, 7, 9], { 7: 5 })
    expect(await embed(out, input, plan)).toEqual(await embed(V11, input, plan))
  })

  it('in bf16 gives the same embeddings too', async () => {
    const plan = Plan.skip(6, [2, 3, 5], { 5: 7 })
    const out = await exported(join(V11, 'bf16'), plan, false)
    expect(await embed(out, input)).toEqual(await embed(join(V11, 'bf16'), input, plan))
  })
})

describe('a materialised export', () => {
  it.each(cases)(
    '$name: as an ordinary dense model gives the plan’s embeddings, bit for bit',
    async ({ plan }) => {
      const out = await exported(V11, plan, true)
      await using encoder = await Encoder.load(out)
      expect(encoder.plan.equals(Plan.dense(6))).toBe(true)
      expect((await encoder.encode(input)).embeddings).toEqual(await embed(V11, input, plan))
    },
  )

  it('folds residual scales in, powers of two bit for bit', async () => {
    const scales = [1, 0.5, 2, 1, -0.25, 0.125, 1, 4, 1, 0.5, 1, 0]
    const plan = new Plan([0, 1, 0, 3, 4, 7, null, 7, 8, 9, 2, 11], { scales })
    const out = await exported(V11, plan, true)
    expect(await embed(out, input)).toEqual(await embed(V11, input, plan))
  })

  it('needs nothing of ours: no plan lies beside it', async () => {
    const out = await exported(V11, Plan.skip(6, [2]), true)
    await expect(stat(join(out, 'skrr-plan.json'))).rejects.toThrow('ENOENT')
    await rm(join(out, 'config.json')) // a single file, its architecture inferred
    const file = join(out, 'model.safetensors')
    expect(await embed(file, input)).toEqual(await embed(V11, input, Plan.skip(6, [2])))
  })
})

describe('models of the other forms', async () => {
  const [umt5, odd, v10] = (
    await Promise.all(['umt5-tiny', 't5-odd', 't5-tiny-v10'].map((model) => goldenCases(model)))
  ).map((all) => all[0]!.input)
  it.each<[string, string, EncoderInput, (number | null)[]]>([
    ['UMT5, whose bias goes with the weights', 'umt5-tiny', umt5!, [2, 1, 0, 3, null, 1]],
    ['odd sizes', 't5-odd', odd!, [2, null, 2, 1, 0, 5]],
    ['ReLU', 't5-tiny-v10', v10!, [0, 3, null, 3]],
  ])('%s: both exports give the plan’s embeddings, bit for bit', async (_, model, what, start) => {
    const { architecture } = await openCheckpoint(golden(model))
    const table = Array.from({ length: 2 * blocksOf(architecture) }, (_, p) => (p in start ? start[p]! : p))
    const plan = new Plan(table)
    const direct = await embed(golden(model), what, plan)
    expect(direct).not.toEqual(await embed(golden(model), what))
    for (const materialize of [false, true]) {
      expect(await embed(await exported(golden(model), plan, materialize), what)).toEqual(direct)
    }
  })
})
