import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe } from 'vitest'

/**
 * The devices the suites of this folder run on. `cuda` is the emulated machine of test/simt: any race, wild access or read of
 * what was never written ends the process. `npm run test:engine` builds it; SKRR_TEST_CUDA_LIBRARY names another library, as
 * on a machine with a GPU. Where there is none, its tests are shown as skipped.
 */
const root = join(import.meta.dirname, '..', '..')
export const cudaLibrary =
  process.env.SKRR_TEST_CUDA_LIBRARY ?? join(root, 'build/engine/skrr_cuda_emulated.so')

type TestDevice = 'cpu' | 'cuda'

/** `describe` for a device: skipped where it is missing, and `device: 'cuda'` opens the library above in it. */
export function describeOn(device: TestDevice, name: string, tests: () => void): void {
  describe.skipIf(device === 'cuda' && !existsSync(cudaLibrary))(`${name} on ${device}`, () => {
    if (device === 'cuda') useLibrary(cudaLibrary)
    tests()
  })
}

/** For the tests of a describe block: the library `device: 'cuda'` opens. */
export function useLibrary(path: string): void {
  const before = process.env.SKRR_CUDA_LIBRARY
  beforeAll(() => {
    process.env.SKRR_CUDA_LIBRARY = path
  })
  afterAll(() => {
    if (before === undefined) delete process.env.SKRR_CUDA_LIBRARY
    else process.env.SKRR_CUDA_LIBRARY = before
  })
}
