// Runs the goldens of encoders, plans and searches on every instruction set of this CPU but the one `npm test` uses, and not on
// the emulated device. Further arguments go to vitest.
import { spawnSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const addon = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'skrr.node')
const { isa: best, isas } = createRequire(import.meta.url)(addon).describe()
const tests = ['test/encoder/goldens.test.ts', 'test/encoder/plans.test.ts', 'test/select/golden.test.ts']

for (const isa of isas.filter((isa) => isa !== best)) {
  console.log(`\n${isa}`)
  const { status } = spawnSync(
    process.execPath,
    [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...tests, ...process.argv.slice(2)],
    { cwd: root, stdio: 'inherit', env: { ...process.env, SKRR_CPU_ISA: isa, SKRR_TEST_CUDA_LIBRARY: '' } },
  )
  if (status !== 0) process.exit(1)
}
