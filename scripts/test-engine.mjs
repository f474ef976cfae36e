// Builds the engine with plain CMake, without Node, and runs its tests. `--sanitize address,undefined` (or thread) builds
// them into a folder of their own under that sanitizer.
import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const { values } = parseArgs({ options: { sanitize: { type: 'string', default: '' } } })
const build = join(
  root,
  'build',
  values.sanitize === '' ? 'engine' : `engine-${values.sanitize.replace(',', '-')}`,
)

const jobs = String(availableParallelism())

for (const [command, ...args] of [
  // One architecture is enough here: the addon's own build compiles all of them.
  [
    'cmake',
    '-S',
    root,
    '-B',
    build,
    `-DSKRR_SANITIZE=${values.sanitize}`,
    '-DSKRR_CUDA_ARCHITECTURES=80-real',
  ],
  ['cmake', '--build', build, '--parallel', jobs],
  // No test here holds a time against a bar, so they may run beside each other.
  ['ctest', '--test-dir', build, '--output-on-failure', '--parallel', jobs],
]) {
  const { status } = spawnSync(command, args, { stdio: 'inherit' })
  if (status !== 0) process.exit(1)
}
