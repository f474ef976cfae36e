import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { t5Architecture, T5_V11_DEMO, T5_V11_DEMO_SIZES, T5_XXL } from '../../src/families/t5.js'
import { toFloat32 } from '../../src/model/half.js'
import { openCheckpoint } from '../../src/checkpoint/open.js'
import { writeSynthetic, type SyntheticOptions } from '../../src/export/synthetic.js'
import { denseParameters } from '../../src/model/parameters.js'
import { DATA, namedTensors, rejection, temporaryFolder } from './helpers.js'

const SMALL = t5Architecture({ ...T5_V11_DEMO_SIZES, blocks: 2, width: 128, heads: 2, ff: 256, vocab: 1000 })
const write = async (options: Partial<SyntheticOptions> = {}, architecture = SMALL) => {
  const folder = join(await temporaryFolder(), 'model')
  await writeSynthetic(folder, architecture, { dtype: 'BF16', seed: 1, ...options })
  return folder
}
const values = async (folder: string, name: string) => {
  const tensors = namedTensors(await openCheckpoint(folder))
  const { file, offset, bytes, encoding } = tensors.get(name)!
  return toFloat32(encoding, (await readFile(file)).subarray(offset, offset + bytes))
}
const WO = 'encoder.block.1.layer.1.DenseReluDense.wo.weight'

it('the named geometries have the sizes of the models they are named after', () => {
  expect(denseParameters(T5_XXL)).toBe(4_762_310_656)
  expect(denseParameters(T5_V11_DEMO)).toBe(109_628_544)
})

describe('a synthetic checkpoint', () => {
  it.each(['BF16', 'F32'] as const)('opens as what it was made as: %s', async (dtype) => {
    const folder = await write({ dtype, tokenizerFrom: join(DATA, 'tokenizers/t5') })
    const checkpoint = await openCheckpoint(folder)
    expect(checkpoint.architecture).toEqual(SMALL)
    const tensors = [...namedTensors(checkpoint).values()]
    expect(tensors.every((t) => t.encoding === dtype)).toBe(true)
    expect(checkpoint.tokenizerPath).toBe(join(folder, 'tokenizer.json'))
  })
  it('has the deviations of a freshly initialised T5', async () => {
    const folder = await write({ dtype: 'F32' })
    const std = async (name: string) => {
      const x = await values(folder, name)
      const mean = x.reduce((a, b) => a + b, 0) / x.length
      return { mean, std: Math.sqrt(x.reduce((sum, v) => sum + (v - mean) ** 2, 0) / x.length) }
    }
    expect((await std('shared.weight')).std).toBeCloseTo(1, 1)
    expect((await std(WO)).std).toBeCloseTo(256 ** -0.5, 2)
    expect((await std('encoder.block.0.layer.0.SelfAttention.q.weight')).std).toBeCloseTo(
      (128 * 64) ** -0.5,
      3,
    )
    expect((await std('encoder.final_layer_norm.weight')).mean).toBeCloseTo(1, 1)
  })
  it('has no two tensors or rows alike', async () => {
    const folder = await write()
    const rows = new Set<string>()
    const tensors = namedTensors(await openCheckpoint(folder))
    let count = 0
    for (const { file, offset, shape } of tensors.values()) {
      const data = await readFile(file)
      const [n, width] = shape.length === 2 ? [shape[0]!, shape[1]!] : [1, shape[0]!]
      if (width < 64) continue
      for (let row = 0; row < n; row++, count++) {
        rows.add(data.subarray(offset + row * width * 2, offset + (row + 1) * width * 2).toString('latin1'))
      }
    }
    expect(rows.size).toBe(count)
  })
  it('is the same for the same seed and another for another', async () => {
    const [a, b, c] = await Promise.all(
      [write(), write(), write({ seed: 2 })].map(async (f) => values(await f, WO)),
    )
    expect(a).toEqual(b)
    expect(a).not.toEqual(c)
  })
  it('is the same in shards', async () => {
    const seen: [number, number][] = []
    const folder = await write({ shardBytes: 200_000, onProgress: (done, total) => seen.push([done, total]) })
    const names = await readdir(folder)
    expect(names).toContain('model.safetensors.index.json')
    expect(names).toContain('model-00001-of-00005.safetensors')
    expect(await values(folder, WO)).toEqual(await values(await write(), WO))
    const total = denseParameters(SMALL) * 2
    expect(seen.at(-1)).toEqual([total, total])
    expect(seen.every(([done], i) => i === 0 || done > seen[i - 1]![0])).toBe(true)
  })
  it('leaves nothing when aborted', async () => {
    const folder = await temporaryFolder()
    const abort = new AbortController()
    const options = { dtype: 'F32', seed: 1, signal: abort.signal, onProgress: () => abort.abort() } as const
    expect((await rejection(writeSynthetic(join(folder, 'm'), SMALL, options))).name).toBe('AbortError')
    expect(await readdir(folder)).toEqual([])
  })
})
