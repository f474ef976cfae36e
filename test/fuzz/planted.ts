// A child as child.ts is, whose cases do what files must not: 3 ends the process, 6 hangs, 9 takes memory, 12 ends it where 11 ran
// before.
import { setTimeout } from 'node:timers/promises'
import type { Message } from './child.js'

const MIB = 2 ** 20
const [first, count] = process.argv.slice(5).map(Number) as [number, number]
const send = (message: Message): void => void process.send!(message)
send({ ready: true })
const report = { action: 'load', file: 'planted', outcome: 'ok', ms: 1, cpuMs: 1 } as const
for (let number = first; number < first + count; number++) {
  if (number === 3 || (number === 12 && first < 12)) process.kill(process.pid, 'SIGSEGV')
  if (number === 6) await setTimeout(600_000)
  send({ ...report, number, growth: number === 9 ? 600 * MIB : 0 })
}
process.disconnect()
