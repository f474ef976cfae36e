import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    testTimeout: 180_000, // against hangs; a slow machine is no failure
    hookTimeout: 180_000,
    pool: 'forks',
    maxWorkers: '100%', // vitest leaves one processor to itself, and on two that is half: it only waits
    // `auto` means the CPU, also on machines with a GPU; test/encoder/cuda.test.ts names a library where it wants one
    env: { SKRR_CUDA_LIBRARY: '/left out by vitest.config.ts/skrr_cuda.so' },
  },
})
