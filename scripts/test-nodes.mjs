// The goldens and the life cycle of an encoder on other versions of Node than the one that runs this, with the addon that is
// built. Needs a build, and npm's registry the first time: binaries are kept in ${XDG_CACHE_HOME:-~/.cache}/skrr.
//   node scripts/test-nodes.mjs [--only 24]
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const VERSIONS = ['22.23.3', '24.21.0', '26.10.0']
const TESTS = ['test/encoder/goldens.test.ts', 'test/encoder/lifecycle.test.ts']

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const { values } = parseArgs({ options: { only: { type: 'string' } } })
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'skrr')

function run(command, args, options) {
  const { status, signal, error } = spawnSync(command, args, { stdio: 'inherit', ...options })
  if (status === 0) return
  console.error(`${command} ${args.join(' ')}: ${error?.message ?? signal ?? `exit code ${status}`}`)
  process.exit(1)
}

/**
 * The binary of a version. npm's `node` is a script that fetches a package with the binary of this platform; that one is asked
 * for directly, so no script runs.
 */
function nodeOf(version) {
  const folder = join(cache, `node-${version}`)
  const name = `node-${process.platform}-${process.arch}`
  const binary = join(folder, 'node_modules', name, 'bin/node')
  if (existsSync(binary)) return binary
  mkdirSync(cache, { recursive: true })
  const making = mkdtempSync(join(cache, 'making.'))
  run('npm', [
    'install',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--silent',
    '--prefix',
    making,
    `${name}@${version}`,
  ])
  rmSync(folder, { recursive: true, force: true })
  renameSync(making, folder) // whole or not at all
  return binary
}

for (const version of VERSIONS.filter((version) => !values.only || version.startsWith(`${values.only}.`))) {
  const node = nodeOf(version)
  console.log(`\nNode ${version}`)
  run(node, [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...TESTS], {
    cwd: root,
    // The emulated device is slow and knows nothing of Node.
    env: { ...process.env, SKRR_TEST_CUDA_LIBRARY: '' },
  })
}
