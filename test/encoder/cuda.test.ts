import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Plan, TextEncoder } from '../../src/index.js'
import { golden, goldenCases } from '../golden.js'
import { relativeError, TOLERANCE } from '../tolerance.js'
import { cudaLibrary, useLibrary } from './devices.js'

// What only device cuda does; goldens, plans and the life cycle are in this folder's other files, on every device.
const root = join(import.meta.dirname, '..', '..')
const installed = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'skrr_cuda.so')

describe.skipIf(!existsSync(cudaLibrary))('device cuda', () => {
  useLibrary(cudaLibrary)

  it('follows a plan and its scales as the CPU does, switched without loading', async () => {
    const model = golden('t5-tiny-v11', 'bf16')
    const { input } = (await goldenCases('t5-tiny-v11'))[0]!
    await using cuda = await TextEncoder.load(model, { device: 'cuda' })
    await using cpu = await TextEncoder.load(model, { device: 'cpu' })
    const held = cuda.memory.weights
    for (const table of [
      [0, 1, 0, 3, 4, 5, 6, 7, 8, 9, 10, 11],
      [0, 1, null, null, 4, 5, 6, 5, 8, 9, null, 11],
    ]) {
      const plan = new Plan(table, { scales: table.map((_, p) => (p === 7 ? 0.5 : 1)) })
      await Promise.all([cuda.setPlan(plan), cpu.setPlan(plan)])
      const [a, b] = await Promise.all([cuda.encode(input), cpu.encode(input)])
      expect(relativeError(a.embeddings, b.embeddings)).toBeLessThan(TOLERANCE.bf16)
    }
    expect(cuda.memory.weights).toBe(held)
  })

  it('is not what auto picks: it has not run on a GPU yet', async () => {
    await using encoder = await TextEncoder.load(golden('t5-tiny-v11', 'bf16'))
    expect(encoder.device).toBe('cpu')
  })

  it('has the devices there are', async () => {
    const load = TextEncoder.load(golden('t5-tiny-v11', 'bf16'), { device: 'cuda:9' })
    await expect(load).rejects.toMatchObject({
      code: 'ERR_DEVICE',
      message: expect.stringContaining('cuda:9') as string,
    })
  })
})

describe('device cuda without its library', () => {
  useLibrary('/nowhere/skrr_cuda.so')

  it('is an error that says why and what to do, never another device', async () => {
    const load = TextEncoder.load(golden('t5-tiny-v11', 'bf16'), { device: 'cuda' })
    await expect(load).rejects.toMatchObject({ code: 'ERR_DEVICE' })
    await expect(load).rejects.toThrow(/skrr_cuda.so was not found.*nvcc.*or use device 'cpu'/)
  })
})

describe.skipIf(!existsSync(installed))('the CUDA library beside the addon', () => {
  useLibrary(installed)

  it('runs, or says what is missing: a driver, a newer one, or a device', async () => {
    try {
      await using encoder = await TextEncoder.load(golden('t5-tiny-v11', 'bf16'), { device: 'cuda' })
      expect(encoder.device).toBe('cuda')
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_DEVICE' })
      expect((error as Error).message).toMatch(
        /device cuda:0: .*(driver|device|compute capability).*device 'cpu'/,
      )
    }
  })
})
