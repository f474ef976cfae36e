// The side of a rival that the driver talks to: one line of JSON in, one out. torch_child.py speaks the same.
//   argv: { model, ids: [batch][tokens], threads, ... }      <- { ready: true, version }
//   { "ask": "run" }                                          <- { ms }: one forward, from ids to float32 embeddings
//   { "ask": "output", "file" }                               <- {}: its embeddings as float32 in the file
//   { "ask": "peak" }                                         <- { bytes }: peak resident memory of the process so far
import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'

/** @param open (arguments) -> { version, forward: async () -> Float32Array; or embeddings, where forward keeps them } */
export async function serve(open) {
  const say = (answer) => console.log(JSON.stringify(answer))
  const { version, forward, embeddings = forward } = await open(JSON.parse(process.argv[2]))
  say({ ready: true, version })
  for await (const line of createInterface(process.stdin)) {
    const { ask, file } = JSON.parse(line)
    if (ask === 'run') {
      const started = performance.now()
      await forward()
      say({ ms: performance.now() - started })
    } else if (ask === 'output') {
      writeFileSync(file, await embeddings())
      say({})
    } else {
      say({ bytes: 1024 * Number(/^VmHWM:\s*(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1]) })
    }
  }
}
