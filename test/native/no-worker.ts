/** A process that may get no stack for another thread of Node's; robustness.test.ts reads what it prints. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readOnThread } from '../../src/checkpoint/thread.js'
import { SkrrError } from '../../src/index.js'
import { TokenizerThread } from '../../src/prompts/tokenizer/thread.js'
import { golden } from '../golden.js'

/** Of the addresses of this process. */
const limit = (bytes: number | 'unlimited'): void =>
  void execFileSync('prlimit', ['--pid', String(process.pid), `--as=${bytes}:`])

const tokenizer = 'test/data/tokenizers/t5'
const opening = { path: golden('t5-tiny-v11'), textEncoder: undefined }
const used = 1024 * Number(/VmSize:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1])
limit(used + (1 << 20))
const failures = [
  await TokenizerThread.open(tokenizer).catch((error: unknown) => error),
  await readOnThread(opening).catch((error: unknown) => error),
]
limit('unlimited')
await readOnThread(opening)
await (await TokenizerThread.open(tokenizer)).close()
console.log(
  JSON.stringify(
    failures.map((error) => (error instanceof SkrrError ? `${error.code}: ${error.message}` : String(error))),
  ),
)
