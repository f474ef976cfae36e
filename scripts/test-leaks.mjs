// Looks for leaks from outside: a thousand of a service's calls must leave the process as large as it was.
// Needs the build (`npm run build`). Exit code 1 where it grew.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { t5Architecture } from '../dist/families/t5.js'
import { writeSynthetic } from '../dist/export/synthetic.js'
import { Plan, Encoder } from '../dist/index.js'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc')

/** A lost model is 8 MB, a lost result 128 kB. */
const architecture = t5Architecture({
  ...{ family: 't5', blocks: 4, width: 256, heads: 4, headDim: 64, ff: 512, vocab: 512, buckets: 32 },
  ...{ maxDistance: 128, epsilon: 1e-6, activation: 'gelu_tanh', gated: true },
})
const ALLOWED_MB = 2
const ROUNDS = 6

const folder = mkdtempSync(join(tmpdir(), 'skrr-leaks-'))
const model = join(folder, 'model')
await writeSynthetic(model, architecture, { dtype: 'F32', seed: 1 })

const input = (i) => ({
  inputIds: { data: new Int32Array(8 + (i % 120)).fill(i % 512), shape: [1, 8 + (i % 120)] },
})

/** Resident megabytes once nothing is left to collect or to free. */
async function resident() {
  for (let i = 0; i < 4; i++) {
    collect()
    await setTimeout(20)
  }
  return process.memoryUsage.rss() / 1e6
}

/**
 * Does `work` `times` times in rounds, until one of them leaves the process as large as it was. The first rounds fill caches
 * and pools and compile what is hot; a leak grows in each.
 */
async function flat(name, times, work) {
  let before = await resident()
  for (let round = 1; round <= ROUNDS; round++) {
    for (let i = 0; i < times; i++) await work(i)
    const after = await resident()
    const grown = after - before
    const line = `${name}: ${grown.toFixed(1)} MB in ${times}, of ${before.toFixed(0)} MB, round ${round}`
    before = after
    if (round > 1 && grown < ALLOWED_MB) return console.log(`flat  ${line}`)
    if (round === ROUNDS) console.log(`GREW  ${line}`)
  }
  process.exitCode = 1
}

const encoder = await Encoder.load(model)
await flat('encode', 1000, (i) => encoder.encode(input(i)))
await flat('encode, aborted', 200, async (i) => {
  const controller = new AbortController()
  const call = encoder.encode(input(i), { signal: controller.signal }).catch(() => undefined)
  setImmediate(() => controller.abort())
  await call
})
await flat('encode, refused', 1000, (i) =>
  encoder.encode({ inputIds: { data: Int32Array.of(600 + i), shape: [1, 1] } }).catch(() => undefined),
)
await flat('switch of plans, with release', 200, async (i) => {
  await encoder.setPlan(Plan.skip(4, [i % 8]), { release: true })
  await encoder.encode(input(i))
})
await flat('load and dispose', 100, async (i) => {
  const other = await Encoder.load(model, { plan: Plan.skip(4, [i % 8]) })
  await other.encode(input(i))
  await other.dispose()
})
await flat('load, left to the garbage collector', 40, async (i) => {
  await (await Encoder.load(model)).encode(input(i))
  collect()
  await setTimeout(1)
})
await flat('load, aborted', 100, async () => {
  const controller = new AbortController()
  const onProgress = () => controller.abort()
  await Encoder.load(model, { signal: controller.signal, onProgress }).catch(() => undefined)
})

await encoder.dispose()
rmSync(folder, { recursive: true })
