// The addon under sanitizers, built beside the ordinary one, and the environment that runs it in Node.
import { spawnSync } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))

/** Runs a command in the checkout; this process ends with 1 where it fails. */
export function run(command, args, options) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options })
  if (error) console.error(`${command}: ${error.message}`)
  if (status !== 0) process.exit(1)
}

/** Node itself is not instrumented, so the sanitizers' runtimes must be there before it. */
function runtime(sanitizer) {
  const name = { address: 'libasan.so', undefined: 'libubsan.so', thread: 'libtsan.so' }[sanitizer]
  return spawnSync('g++', [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim()
}

/** Builds the addon, for sanitizers as `-fsanitize` names them, and gives the environment of processes that load it. */
export function sanitizedEnvironment(sanitize) {
  const sanitizers = sanitize.split(',')
  const out = join('build', `addon-${sanitizers.join('-')}`)
  const cmakeJs = join(root, 'node_modules/cmake-js/bin/cmake-js')
  const jobs = String(availableParallelism())
  run(
    process.execPath,
    [cmakeJs, 'build', '--out', out, '--parallel', jobs, `--CDSKRR_SANITIZE=${sanitize}`],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
  return {
    ...process.env,
    SKRR_ADDON: join(root, out, 'Release/skrr.node'),
    LD_PRELOAD: sanitizers.map(runtime).join(' '),
    // V8 frees nothing at exit; scripts/test-leaks.mjs looks for leaks. The CUDA library has a C++ runtime of its own inside: what
    // its operator new takes, by malloc, the addon's operator delete gives back, which is this sanitizer's.
    ASAN_OPTIONS: 'detect_leaks=0:alloc_dealloc_mismatch=0',
    UBSAN_OPTIONS: 'print_stacktrace=1',
    TSAN_OPTIONS: 'halt_on_error=1 ignore_noninstrumented_modules=1', // V8 and others synchronise in ways it cannot see
  }
}
