import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { exportCheckpoint } from '../../src/export/checkpoint.js'
import { exportPacked } from '../../src/export/packed.js'
import { Encoder, openCheckpoint, Plan, selectPlan } from '../../src/index.js'
import { fingerprint } from '../../src/model/fingerprint.js'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { keptFolder, temporaryFolder } from '../checkpoint/helpers.js'
import { golden } from '../golden.js'
import { relativeError, TOLERANCE } from '../tolerance.js'

// One model of each way that families store what they have: biases and positions, fused matrices, norms of 1 + w, an encoder.
const MODELS = [
  'clip-l-tiny',
  'glm-tiny/bf16',
  'qwen3-tiny',
  'gemma2-tiny',
  'gemma3-tiny/bf16-nested',
  't5gemma-tiny/bf16',
]

const ids = Int32Array.from({ length: 48 }, (_, i) => 5 + ((i * 37) % 120))
const input = { inputIds: { data: ids, shape: [4, 12] } }

describe.each(MODELS)('%s', (model) => {
  const encode = async (path: string, plan?: Plan, precision?: 'f32' | 'bf16' | 'int8') => {
    await using encoder = await Encoder.load(path, { plan, precision, device: 'cpu' })
    return (await encoder.encode(input)).embeddings
  }
  const blocks = model.startsWith('clip') ? 4 : 6
  const table = [...Plan.dense(blocks).table]
  table.splice(2, 4, 0, null, null, 1)
  const plan = new Plan(table, { scales: table.map((_, p) => (p === 2 ? 0.5 : 1)) })

  it('comes back from an export under a plan', async () => {
    const out = join(await temporaryFolder(), 'out')
    const checkpoint = await openCheckpoint(golden(model))
    await exportCheckpoint(checkpoint, plan, out)
    expect(await encode(out, undefined, 'f32')).toEqual(await encode(golden(model), plan, 'f32'))
    const exported = await openCheckpoint(out)
    expect(fingerprint(exported.architecture)).toBe(fingerprint(checkpoint.architecture))
  })

  it('comes back whole: every tensor as it was in the file', async () => {
    const out = join(await temporaryFolder(), 'out')
    const checkpoint = await openCheckpoint(golden(model))
    await exportCheckpoint(checkpoint, Plan.dense(blocks), out)
    const [before, after] = await Promise.all(
      [golden(model), out].map((folder) => readTensors(join(folder, 'model.safetensors'))),
    )
    for (const [name, { shape, data }] of after!) {
      const original = [...before!].find(([full]) => full.endsWith(name))![1]
      expect({ name, shape, data }).toEqual({ name, shape: original.shape, data: original.data })
    }
  })

  it('is the same model where the plan is worked into its weights', async () => {
    const out = join(await temporaryFolder(), 'out')
    await exportCheckpoint(await openCheckpoint(golden(model)), plan, out, { materialize: true })
    const expected = await encode(golden(model), plan, 'f32')
    // bf16 weights that are halved stay bf16, but for 1 + w
    const tolerance =
      model.startsWith('gemma3') || model.startsWith('t5gemma') ? TOLERANCE.bf16 : TOLERANCE.f32
    expect(relativeError(await encode(out, Plan.dense(blocks), 'f32'), expected)).toBeLessThan(tolerance)
  })

  it.each(['f32', 'bf16', 'int8'] as const)('comes back from an export in %s', async (precision) => {
    const out = join(await temporaryFolder(), 'out')
    await exportPacked(await openCheckpoint(golden(model)), plan, out, { precision })
    const [found, expected] = [await encode(out), await encode(golden(model), plan, precision)]
    // the embedding is rounded to bf16 with the rest
    const tolerance = precision === 'f32' ? 0 : TOLERANCE.bf16
    expect(relativeError(found, expected)).toBeLessThanOrEqual(tolerance)
  })

  const root = keptFolder()
  it('is searched for a plan, whose export computes what the plan does', async () => {
    await using encoder = await Encoder.load(golden(model), { precision: 'f32', device: 'cpu' })
    const found = await selectPlan(encoder, input, {
      target: { sparsity: 0.2 },
      null: { inputIds: { data: ids.subarray(0, 2), shape: [1, 2] } },
    })
    const chosen = found.plan
    expect(chosen.sparsity(encoder.architecture)).toBeGreaterThan(0.1)
    const out = join(root(), 'found')
    await exportCheckpoint(encoder.checkpoint, chosen, out)
    expect(await encode(out, undefined, 'f32')).toEqual(await encode(golden(model), chosen, 'f32'))
  })
})
