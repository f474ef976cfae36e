// Builds the addon under sanitizers, beside the ordinary one, and runs the encoder's tests in Node against it.
// `--sanitize thread` takes ThreadSanitizer instead of AddressSanitizer and UBSan; further arguments go to vitest.
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const { values, positionals } = parseArgs({
  options: { sanitize: { type: 'string', default: 'address,undefined' } },
  allowPositionals: true,
})
const sanitizers = values.sanitize.split(',')
const out = join('build', `addon-${sanitizers.join('-')}`)

function run(command, args, options) {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options })
  if (error) console.error(`${command}: ${error.message}`)
  if (status !== 0) process.exit(1)
}

/** Node itself is not instrumented, so the sanitizers' runtimes must be there before it. */
function runtime(sanitizer) {
  const name = { address: 'libasan.so', undefined: 'libubsan.so', thread: 'libtsan.so' }[sanitizer]
  return spawnSync('g++', [`-print-file-name=${name}`], { encoding: 'utf8' }).stdout.trim()
}

const cmakeJs = join(root, 'node_modules/cmake-js/bin/cmake-js')
run(process.execPath, [cmakeJs, 'build', '--out', out, `--CDSKRR_SANITIZE=${values.sanitize}`], {
  stdio: ['ignore', 'ignore', 'inherit'],
})

const vitest = join(root, 'node_modules/vitest/vitest.mjs')
const tests = positionals.length > 0 ? positionals : ['test/encoder']
run(process.execPath, [vitest, 'run', '--testTimeout=300000', ...tests], {
  env: {
    ...process.env,
    SKRR_ADDON: join(root, out, 'Release/skrr.node'),
    LD_PRELOAD: sanitizers.map(runtime).join(' '),
    ASAN_OPTIONS: 'detect_leaks=0', // V8 frees nothing at exit; scripts/test-leaks.mjs looks for leaks
    UBSAN_OPTIONS: 'print_stacktrace=1',
    TSAN_OPTIONS: 'halt_on_error=1 ignore_noninstrumented_modules=1', // V8 and others synchronise in ways it cannot see
  },
})
