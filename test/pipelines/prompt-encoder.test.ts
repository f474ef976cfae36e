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

/** The mask of an output's own side and encoder: what its denoiser sees. */
function maskOf(key: string, found: Readonly<Record<string, unknown>>): Tensor | undefined {
  const of = (name: string): string => [name.startsWith('negative'), /_\d$/.exec(name)?.[0]].join()
  const name = Object.keys(found).find((each) => /mask/.test(each) && of(each) === of(key))
  return name === undefined || /mask/.test(key) ? undefined : ((found[name] as Tensor | null) ?? undefined)
}
/** Diffusers orders a mask, or Kandinsky's pooled rows, otherwise than their embeddings, for several images of a prompt. */
const PAIRS_WRONGLY = [
  ...['auraflow', 'ltx', 'lumina2', 'mochi', 'prx', 'qwen-image', 'sana'],
  ...['kandinsky5-video'],
]

/** Arguments that a folder's cases leave to its page. */
const ARGUMENTS: Readonly<Record<string, object>> = {
  'sd3-no-t5': { joint_attention_dim: 64 },
  ideogram4: { grid_h: 2, grid_w: 3 },
}

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
  // a mask [batch, tokens] of an output [batch, tokens, ...], or [batch, ..., tokens, width]
  const { shape, seq_axis: axis = 1 } = expected
  const size = (from: number): number => shape.slice(from).reduce((n, k) => n * k, 1)
  const hides = (at: number): boolean => {
    const [row, t] = [Math.floor(at / size(1)), Math.floor(at / size(axis + 1)) % shape[axis]!]
    return mask !== undefined && mask.data[row * shape[axis]! + t] === 0
  }
  let worst = 0
  let i = 0
  for (const at of storedElements(expected)) {
    const value = Number(stored!.data[i++])
    // what the denoiser's own mask hides need not be computed
    if (hides(at)) continue
    worst = Math.max(worst, Math.abs(found.data[at]! - value) / bar)
  }
  return worst
}

/** Each prompt's rows twice, one after the other, in tensors and masks alike. */
function expectRepeated(
  found: Readonly<Record<string, unknown>>,
  once: Readonly<Record<string, unknown>>,
): void {
  for (const [key, value] of Object.entries(once)) {
    if (value === null) {
      expect(found[key], key).toBeNull()
      continue
    }
    const { data, shape } = value as Tensor
    const twice = found[key] as Tensor
    if (shape.length < 2) continue // offsets of all rows
    const size = data.length / shape[0]!
    const rows = Array.from({ length: 2 * shape[0]! }, (_, row) => [
      ...data.subarray(Math.floor(row / 2) * size, Math.floor(row / 2) * size + size),
    ])
    expect([...twice.data], key).toEqual(rows.flat())
  }
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
      if (caseName.startsWith('quirk-')) continue // a fault of diffusers that its page says not to copy
      const found = await encoder.encode({ ...args, ...ARGUMENTS[name] })
      if (args.num_per_prompt !== undefined && PAIRS_WRONGLY.includes(name)) {
        expectRepeated(found, await encoder.encode({ ...args, num_per_prompt: 1 }))
        continue
      }
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
        const mask = maskOf(key, found)
        const axis = expected.seq_axis ?? 1
        const hides = mask?.shape.join() === [value.shape[0], value.shape[axis]].join()
        expect(
          differs(value, same, same.tensor ? tensors.get(same.tensor) : undefined, hides ? mask : undefined),
          where,
        ).toBeLessThanOrEqual(1)
      }
    }
  })
})
