// One build of skrr, which bench/before-after/main.ts times. Argument: its checkout, with dist/ and prebuilds/.
//   <- { ready: true, version }                                      version: the instruction set it picks
//   { "ask": "open", model, table, precision, threads }  <- {}       in place of the encoder opened before; table: its plan's
//   { "ask": "run", ids: [batch][tokens] }  <- { ms, hash }          one forward; hash: of the bits of its embeddings
import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

const checkout = process.argv[2]
delete process.env.SKRR_ADDON // names one addon for all, and two are compared
const skrr = await import(join(checkout, 'dist/index.js'))
const Encoder = skrr.Encoder ?? skrr.TextEncoder // its name in version 0.1
const addon = join(checkout, 'prebuilds', `${process.platform}-${process.arch}`, 'skrr.node')

const say = (answer) => console.log(JSON.stringify(answer))
say({ ready: true, version: createRequire(import.meta.url)(addon).describe().isa })

let encoder
for await (const line of createInterface(process.stdin)) {
  const { ask, ids, model, table, ...options } = JSON.parse(line)
  if (ask === 'open') {
    await encoder?.dispose()
    encoder = await Encoder.load(model, { device: 'cpu', plan: new skrr.Plan(table), ...options })
    say({})
  } else {
    const inputIds = { data: Int32Array.from(ids.flat()), shape: [ids.length, ids[0].length] }
    const started = performance.now()
    const { embeddings } = await encoder.encode({ inputIds })
    const ms = performance.now() - started
    say({ ms, hash: createHash('sha256').update(embeddings).digest('hex') })
  }
}
await encoder?.dispose()
