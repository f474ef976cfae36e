/** A process that may get little more memory, and so no stacks for many threads; robustness.test.ts reads what it prints. */
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { Encoder, SkrrError } from '../../src/index.js'
import { golden } from '../golden.js'

/** Of the addresses of this process; of a limit of threads the system would count all processes of the user. */
const limit = (bytes: number | 'unlimited'): void =>
  void execFileSync('prlimit', ['--pid', String(process.pid), `--as=${bytes}:`])

const load = (threads: number): Promise<Encoder> =>
  Encoder.load(golden('t5-tiny-v11'), { device: 'cpu', precision: 'f32', threads })

const first = await load(1)
const used = 1024 * Number(/VmSize:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))![1])
limit(used + (512 << 20))
const failure: unknown = await load(1024).catch((error: unknown) => error)
limit('unlimited')
const second = await load(2)
await Promise.all([first.dispose(), second.dispose()])
const { code, message } = failure as SkrrError
console.log(JSON.stringify({ ours: failure instanceof SkrrError, code, message }))
