// Builds the addon under sanitizers, beside the ordinary one, and runs the encoder's tests in Node against it.
// `--sanitize thread` takes ThreadSanitizer instead of AddressSanitizer and UBSan; further arguments go to vitest.
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { run, sanitizedEnvironment } from './sanitized.mjs'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const { values, positionals } = parseArgs({
  options: { sanitize: { type: 'string', default: 'address,undefined' } },
  allowPositionals: true,
})
const env = sanitizedEnvironment(values.sanitize)
const vitest = join(root, 'node_modules/vitest/vitest.mjs')
const tests = positionals.length > 0 ? positionals : ['test/encoder']
run(process.execPath, [vitest, 'run', '--testTimeout=300000', ...tests], { env })
