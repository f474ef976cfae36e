import { existsSync } from 'node:fs'
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { t5Architecture, T5_V11_DEMO_SIZES } from '../../src/families/t5.js'
import { Plan, Encoder } from '../../src/index.js'
import { native, runJob } from '../../src/native/addon.js'
import { nativeArchitecture, slotIn } from '../../src/native/spec.js'
import { temporaryFolder } from '../checkpoint/helpers.js'
import { golden, goldenCases } from '../golden.js'
import { relativeError, TOLERANCE } from '../tolerance.js'
import { cudaLibrary, useLibrary } from './devices.js'

// Tests of what only device cuda does; the other files of this folder test goldens, plans and the life cycle on every device.
const root = join(import.meta.dirname, '..', '..')
const installed = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'skrr_cuda.so')

describe.skipIf(!existsSync(cudaLibrary))('device cuda', () => {
  useLibrary(cudaLibrary)

  it('follows a plan and its scales as the CPU does, switched without loading', async () => {
    const model = golden('t5-tiny-v11', 'bf16')
    const { input } = (await goldenCases('t5-tiny-v11'))[0]!
    await using cuda = await Encoder.load(model, { device: 'cuda' })
    await using cpu = await Encoder.load(model, { device: 'cpu' })
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

  it('is what auto picks, once it has computed what the CPU does', async () => {
    await using encoder = await Encoder.load(golden('t5-tiny-v11', 'bf16'))
    expect(encoder.device).toBe('cuda')
    expect(encoder.deviceReason).toMatch(/auto picked cuda: emulated computes what the CPU does/)
    const promised = await Encoder.estimate(golden('t5-tiny-v11', 'bf16'))
    expect(promised.weights).toBe(encoder.memory.weights)
    await using asked = await Encoder.load(golden('t5-tiny-v11', 'bf16'), { device: 'cuda' })
    expect(asked.deviceReason).toBeUndefined()
  })

  it('is not what auto picks for weights it has no kernels for', async () => {
    const model = golden('t5-tiny-v11', 'bf16')
    const precisions = Plan.dense(6).table.map((s) => (s === 3 ? ('int8' as const) : null))
    for (const [options, why] of [
      [{ precision: 'f32' }, /auto picked the CPU: f32 weights run there alone/],
      [{ plan: new Plan(Plan.dense(6).table, { precisions }) }, /auto picked the CPU: a plan's int8 weights/],
    ] as const) {
      await using encoder = await Encoder.load(model, options)
      expect(encoder.device).toBe('cpu')
      expect(encoder.deviceReason).toMatch(why)
    }
  })

  it('takes what was estimated, in bf16 whatever the checkpoint holds', async () => {
    const model = golden('t5-tiny-v11')
    const { input } = (await goldenCases('t5-tiny-v11')).find(({ name }) => name === 'len7')!
    const promised = await Encoder.estimate(model, { device: 'cuda', tokens: 21, longest: 7 })
    await using encoder = await Encoder.load(model, { device: 'cuda' })
    await encoder.encode(input)
    const { weights, workspace } = encoder.memory
    expect(weights).toBe(promised.weights)
    expect(workspace).toBeGreaterThan(0)
    expect(workspace).toBeLessThan(promised.workspace) // which counts the batch itself too
  })

  it('measures each of its kernels, and encoders, behind skrr bench', async () => {
    const sizes = { ...T5_V11_DEMO_SIZES, blocks: 1, width: 64, heads: 1, ff: 64 }
    const bf16 = (subBlock: number): number => (subBlock < 0 ? -1 : slotIn('bf16', subBlock))
    const table = (run: number[]) => ({ slots: Int32Array.from(run, bf16), scales: Float32Array.of(1, 1) })
    const measured = await runJob([], (cancel) =>
      native().bench(
        nativeArchitecture(t5Architecture(sizes)),
        { device: 'cuda', threads: 0 },
        {
          tables: [
            { name: 'dense', ...table([0, 1]) },
            { name: 'no attention', ...table([-1, 1]) },
          ],
          tokens: Int32Array.of(3),
          repeats: 1,
        },
        cancel,
        () => undefined,
      ),
    )
    expect(measured.rows.map(({ what, plan }) => [what, plan])).toEqual([
      ['norm', ''],
      ['q|k|v', ''],
      ['softmax(q k^T + bias) v', ''],
      ['o + stream', ''],
      ['act(gate) x up', ''],
      ['down + stream', ''],
      ['encoder', 'dense'],
      ['encoder', 'no attention'],
    ])
    for (const { seconds, flops } of measured.rows) expect(Math.min(seconds, flops)).toBeGreaterThan(0)
    expect(Math.min(measured.memory, measured.multiply)).toBeGreaterThan(0)
  })

  it('has no estimate for a device that is not there, or a precision it has not', async () => {
    const estimate = (options: object): Promise<unknown> =>
      Encoder.estimate(golden('t5-tiny-v11'), { device: 'cuda', ...options })
    await expect(estimate({ device: 'cuda:9' })).rejects.toMatchObject({ code: 'ERR_DEVICE' })
    await expect(estimate({ precision: 'int8' })).rejects.toThrow('expected bf16 on device cuda')
  })

  it('has bf16 weights only', async () => {
    const plan = new Plan(Plan.dense(6).table, {
      precisions: Plan.dense(6).table.map((s) => (s === 3 ? 'int8' : null)),
    })
    const load = Encoder.load(golden('t5-tiny-v11'), { device: 'cuda', plan })
    await expect(load).rejects.toThrow('precisions[3]: found "int8", expected bf16 or null on device cuda')
  })

  it('has the devices there are', async () => {
    const load = Encoder.load(golden('t5-tiny-v11', 'bf16'), { device: 'cuda:9' })
    await expect(load).rejects.toMatchObject({
      code: 'ERR_DEVICE',
      message: expect.stringContaining('cuda:9') as string,
    })
  })
})

describe('a CUDA library that cannot be used', () => {
  const whole = existsSync(cudaLibrary)
  const build = dirname(cudaLibrary)
  const load = async (library: string): Promise<unknown> => {
    vi.stubEnv('SKRR_CUDA_LIBRARY', library)
    onTestFinished(() => void vi.unstubAllEnvs())
    return await Encoder.load(golden('t5-tiny-v11', 'bf16'), { device: 'cuda' }).catch((e: unknown) => e)
  }

  it('that is missing is an error that says why and what to do, never another device', async () => {
    expect(await load('/nowhere/skrr_cuda.so')).toMatchObject({
      code: 'ERR_DEVICE',
      message: expect.stringMatching(/skrr_cuda.so was not found.*nvcc.*or use device 'cpu'/) as string,
    })
  })

  it.skipIf(!whole)('that crashes when it is loaded takes another process down, not this one', async () => {
    const library = join(build, 'skrr_cuda_crashing.so')
    for (let time = 0; time < 2; time++) {
      expect(await load(library)).toMatchObject({
        code: 'ERR_DEVICE',
        message: expect.stringMatching(/skrr_cuda_crashing.so: .* crashed \(SIG.*reinstall.*'cpu'/) as string,
      })
    }
    const estimate = Encoder.estimate(golden('t5-tiny-v11'), { device: 'cuda' })
    await expect(estimate).rejects.toMatchObject({ code: 'ERR_DEVICE' })
  })

  it.skipIf(!whole).each([
    ['skrr_cuda_crashing.so', /auto picked the CPU: .*crashed/],
    ['skrr_cuda_other_build.so', /auto picked the CPU: .*of another build/],
    [
      'skrr_cuda_wrong.so',
      /auto picked the CPU: .*computes otherwise than the CPU: found a relative difference of/,
    ],
    ['none.so', /auto picked the CPU: this build is without CUDA/],
  ])('is nothing for auto: %s', async (library, why) => {
    vi.stubEnv('SKRR_CUDA_LIBRARY', join(build, library))
    onTestFinished(() => void vi.unstubAllEnvs())
    await using encoder = await Encoder.load(golden('t5-tiny-v11', 'bf16'))
    expect(encoder.device).toBe('cpu')
    expect(encoder.deviceReason).toMatch(why)
  })

  it.skipIf(!whole)('that lost its end is named as damaged', async () => {
    const library = join(await temporaryFolder(), 'skrr_cuda.so')
    await writeFile(library, (await readFile(cudaLibrary)).subarray(0, 100_000))
    expect(await load(library)).toMatchObject({
      code: 'ERR_DEVICE',
      message: expect.stringMatching(/skrr_cuda.so.*(einstall|crashed)/) as string,
    })
  })

  it.skipIf(!whole)('of another build is told apart', async () => {
    expect(await load(join(build, 'skrr_cuda_other_build.so'))).toMatchObject({
      code: 'ERR_DEVICE',
      message: expect.stringMatching(/found 'skrr cuda 0, of another build', expected 'skrr cuda/) as string,
    })
  })

  it.skipIf(!whole)('is asked again when the file has changed', async () => {
    const library = join(await temporaryFolder(), 'skrr_cuda.so')
    await copyFile(join(build, 'skrr_cuda_other_build.so'), library)
    expect(await load(library)).toMatchObject({ code: 'ERR_DEVICE' })
    await rm(library)
    await copyFile(cudaLibrary, library)
    const encoder = await load(library)
    expect(encoder).toBeInstanceOf(Encoder)
    await (encoder as Encoder).dispose()
  })
})

describe.skipIf(!existsSync(installed))('the CUDA library beside the addon', () => {
  useLibrary(installed)

  it('runs, or says what is missing: a driver, a newer one, or a device', async () => {
    try {
      await using encoder = await Encoder.load(golden('t5-tiny-v11', 'bf16'), { device: 'cuda' })
      expect(encoder.device).toBe('cuda')
    } catch (error) {
      expect(error).toMatchObject({ code: 'ERR_DEVICE' })
      expect((error as Error).message).toMatch(
        /device cuda:0: .*(driver|device|compute capability).*device 'cpu'/,
      )
    }
  })
})
