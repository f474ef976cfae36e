// Builds the engine with plain CMake, without Node, and runs its tests. `--sanitize address,undefined` (or thread) builds
// them into a folder of their own under that sanitizer.
import { spawnSync } from 'node:child_process'
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

for (const [command, ...args] of [
  ['cmake', '-S', root, '-B', build, `-DSKRR_SANITIZE=${values.sanitize}`],
  ['cmake', '--build', build, '--parallel', '2'],
  ['ctest', '--test-dir', build, '--output-on-failure'],
]) {
  const { status } = spawnSync(command, args, { stdio: 'inherit' })
  if (status !== 0) process.exit(1)
}
