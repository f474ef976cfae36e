// Hostile files, one case after the other, each against the time, the memory and the errors it may take (test/fuzz/):
//
//   npm run fuzz -- --seconds 60 --seed 1     as long, from that seed; --cases N, --from N; --jobs N at once
//   npm run fuzz -- --case 1:4711             one case again, by the name a failure gave it; its files stay in build/fuzz/
//   npm run fuzz -- --sanitized ...           with the addon under ASan and UBSan
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run, sanitizedEnvironment } from './sanitized.mjs'

const here = dirname(fileURLToPath(import.meta.url))
const args = process.argv.slice(2)
const sanitized = args.includes('--sanitized')
const SLOWER = ['--limit', '20'] // seconds a case
const env = sanitized
  ? // freed memory is held back, to notice its use; little of it, so that it is not taken for growth
    { ...sanitizedEnvironment('address,undefined'), ASAN_OPTIONS: 'detect_leaks=0:quarantine_size_mb=16' }
  : process.env
const rest = args.filter((arg) => arg !== '--sanitized')
run(
  process.execPath,
  [join(here, 'run-ts.mjs'), join(here, '../test/fuzz/main.ts'), ...(sanitized ? SLOWER : []), ...rest],
  {
    env: { ...env, UBSAN_OPTIONS: 'print_stacktrace=1:halt_on_error=1' },
  },
)
