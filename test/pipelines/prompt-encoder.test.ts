import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readTensors, type Tensor as Stored } from '../../src/checkpoint/tensor-file.js'
import { PromptEncoder } from '../../src/prompt-encoder/index.js'
import type { Tensor } from '../../src/pipelines/types.js'
import { keptFolder } from '../checkpoint/helpers.js'
import { golden } from '../golden.js'
import { materialise } from './materialise.js'

interface ExpectedOutput {
  readonly shape: readonly number[]
  readonly dtype: string
  readonly absmax?: number
  readonly seq_axis?: number
  readonly rows?: readonly number[]
  readonly tensor?: string
  readonly all?: number
  readonly same_as?: string
}
interface ExpectedCase {
  readonly name: string
  readonly args: Record<string, unknown>
  readonly outputs: Record<string, ExpectedOutput | null>
}

const root = process.env.SKRR_PIPELINE_GOLDENS ?? golden('pipelines')
const names = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !['encoders', 'remote'].includes(entry.name))
  .map(({ name }) => name)

/** Which masks of a side say what its denoiser sees. */
const MASK = /mask/
/** Diffusers orders these masks otherwise than their embeddings, for several images of a prompt. */
const PAIRS_MASKS_WRONGLY = ['auraflow', 'ltx', 'lumina2', 'mochi', 'prx', 'qwen-image', 'sana', 'krea2']

/** Indices of the elements that a golden stores, in its order. */
function* storedElements({ shape, rows, seq_axis: axis = 0 }: ExpectedOutput): Generator<number> {
  const outer = shape.slice(0, axis).reduce((n, k) => n * k, 1)
  const inner = shape.slice(axis + 1).reduce((n, k) => n * k, 1)
  const length = shape[axis] ?? 1
  for (let o = 0; o < outer; o++) {
    for (const row of rows ?? Array.from({ length }, (_, i) => i)) {
      for (let i = 0; i < inner; i++) yield (o * length + row) * inner + i
    }
  }
}

function differs(found: Tensor, expected: ExpectedOutput, stored: Stored | undefined, mask?: Tensor): number {
  if (expected.all !== undefined) return found.data.every((value) => value === expected.all) ? 0 : Infinity
  const bar = 1e-4 * (expected.absmax ?? 1)
  const width = expected.shape.slice(2).reduce((n, k) => n * k, 1)
  let worst = 0
  let i = 0
  for (const at of storedElements(expected)) {
    const value = Number(stored!.data[i++])
    // what the denoiser's own mask hides need not be computed
    if (mask && mask.data[Math.floor(at / width)] === 0) continue
    worst = Math.max(worst, Math.abs(found.data[at]! - value) / bar)
  }
  return worst
}

describe("a pipeline's tensors are those of diffusers", () => {
  const folder = keptFolder()

  it.each(names)('%s', { timeout: 240_000 }, async (name) => {
    const from = join(root, name)
    const out = join(folder(), name)
    materialise(from, out, join(folder(), 'tokenizers'))
    const { cases } = JSON.parse(readFileSync(join(from, 'expected.json'), 'utf8')) as {
      cases: ExpectedCase[]
    }
    const tensors = await readTensors(join(from, 'expected.safetensors'))
    await using encoder = await PromptEncoder.load(out, { device: 'cpu', precision: 'f32' })
    for (const { name: caseName, args, outputs } of cases) {
      if (args.num_per_prompt !== undefined && PAIRS_MASKS_WRONGLY.includes(name)) continue
      const given = name === 'sd3-no-t5' ? { ...args, joint_attention_dim: 64 } : args
      const found = await encoder.encode(given)
      const flat = Object.entries(found).flatMap(([key, value]): [string, Tensor | null][] =>
        Array.isArray(value)
          ? value.map((t: Tensor, i) => [`${key}.${i}`, t])
          : [[key, value as Tensor | null]],
      )
      const wanted = Object.keys(outputs).filter((key) => !key.startsWith('derived'))
      expect(
        flat.map(([key]) => key),
        `${name} ${caseName}`,
      ).toEqual(wanted)
      for (const [key, value] of flat) {
        const where = `${name} ${caseName} ${key}`
        const expected = outputs[key]
        if (expected === null || expected === undefined) expect(value, where).toBeNull()
        if (!expected || !value) continue
        expect(value.shape, where).toEqual(expected.shape)
        expect(value.dtype, where).toBe(expected.dtype)
        const same = expected.same_as === undefined ? expected : outputs[expected.same_as]!
        const maskName = Object.keys(outputs).find(
          (each) => MASK.test(each) && each.startsWith('negative') === key.startsWith('negative'),
        )
        const mask = maskName === undefined || MASK.test(key) ? undefined : (found[maskName] as Tensor | null)
        const hides = mask && value.shape.length === 3 && mask.shape.join() === value.shape.slice(0, 2).join()
        expect(
          differs(value, same, same.tensor ? tensors.get(same.tensor) : undefined, hides ? mask : undefined),
          where,
        ).toBeLessThanOrEqual(1)
      }
    }
  })
})
