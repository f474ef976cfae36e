// The side of a rival that the driver talks to: one line of JSON in, one out. serve.py speaks the same.
//   argv: { model, ids: [batch][tokens], threads, ... }      <- { ready: true, version }
//   { "ask": "run" }                                          <- { ms }: one forward, from ids to float32 embeddings
//   { "ask": "output", "file" }                               <- {}: its embeddings as float32 in the file
//   { "ask": "held" }                                         <- { bytes }: resident memory of the process now
//   { "ask": "peak" }                                         <- { bytes }: the same at its peak so far
import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

/** Bytes, as the kernel says in /proc/self/status. */
const status = (field) =>
  1024 * Number(new RegExp(`^${field}:\\s*(\\d+)`, 'm').exec(readFileSync('/proc/self/status', 'utf8'))[1])

/** @param open (arguments) -> { version, forward: async () -> Float32Array } */
export async function serve(open) {
  const say = (answer) => console.log(JSON.stringify(answer))
  const { version, forward } = await open(JSON.parse(process.argv[2]))
  say({ ready: true, version })
  for await (const line of createInterface(process.stdin)) {
    const { ask, file } = JSON.parse(line)
    if (ask === 'run') {
      const started = performance.now()
      await forward()
      say({ ms: performance.now() - started })
    } else if (ask === 'output') {
      writeFileSync(file, await forward())
      say({})
    } else {
      say({ bytes: status(ask === 'held' ? 'VmRSS' : 'VmHWM') })
    }
  }
}
