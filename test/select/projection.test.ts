import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { writeSafetensors } from '../../src/export/write.js'
import type { NativeMapLayer } from '../../src/native/addon.js'
import { readProjection } from '../../src/select/measure/projection.js'
import { GOLDEN, temporaryFolder } from '../checkpoint/helpers.js'
import { relativeError, TOLERANCE } from '../tolerance.js'

const file = (name: string): string => join(GOLDEN, 'projections', `${name}.safetensors`)

/** x [rows, columns] through the layers, in double: what the module means. */
function project(layers: readonly NativeMapLayer[], x: ArrayLike<number>): number[] {
  let values = Array.from(x)
  for (const [l, { weight, bias, rows, columns }] of layers.entries()) {
    const next: number[] = []
    for (let t = 0; t < values.length; t += columns) {
      for (let r = 0; r < rows; r++) {
        let y = bias?.[r] ?? 0
        for (let c = 0; c < columns; c++) y += weight[r * columns + c]! * values[t + c]!
        const inner = Math.sqrt(2 / Math.PI) * (y + 0.044715 * y ** 3)
        next.push(l + 1 < layers.length ? (y / 2) * (1 + Math.tanh(inner)) : y)
      }
    }
    values = next
  }
  return values
}

describe('readProjection', () => {
  it.each(['pixart', 'sd3', 'flux'])(
    'reads %s under the names of diffusers and of the original',
    async (name) => {
      const layers = await readProjection(file(name), 64)
      const expected = await readTensors(file('expected'))
      const y = project(layers, expected.get('input')!.data as Float32Array)
      expect(relativeError(y, expected.get(`${name}.f64`)!.data as Float64Array)).toBeLessThan(TOLERANCE.f32)
      expect(await readProjection(file(`${name}-original-names`), 64)).toEqual(layers)
    },
  )

  it('reads a plain linear, with or without bias', async () => {
    const plain = join(await temporaryFolder(), 'plain.safetensors')
    const bytes = (values: number[]) => new Uint8Array(Float32Array.from(values).buffer)
    const weight = { name: 'weight', dtype: 'F32', shape: [3, 2], data: bytes([1, 2, 3, 4, 5, 6]) } as const
    await writeSafetensors(plain, [weight], {})
    expect(await readProjection(plain, 2)).toEqual([
      { weight: Float32Array.of(1, 2, 3, 4, 5, 6), bias: undefined, rows: 3, columns: 2 },
    ])
  })

  it('refuses one of another width, and files without any', async () => {
    await expect(readProjection(file('pixart'), 32)).rejects.toThrow(
      /caption_projection.linear_1.weight: found shape \[48, 64\], expected \[out, 32\]/,
    )
    await expect(readProjection(file('expected'), 64)).rejects.toThrow(/no projection module/)
  })

  it('refuses numbers that are none', async () => {
    const bad = join(await temporaryFolder(), 'bad.safetensors')
    const data = new Uint8Array(Float32Array.of(1, NaN).buffer)
    await writeSafetensors(bad, [{ name: 'weight', dtype: 'F32', shape: [1, 2], data }], {})
    await expect(readProjection(bad, 2)).rejects.toThrow(/weight\[1\]: found NaN, expected a finite number/)
  })
})
