import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { writeSynthetic } from '../../src/export/synthetic.js'
import { t5Architecture } from '../../src/families/t5.js'
import { exportPacked, openCheckpoint, Plan } from '../../src/index.js'
import { temporaryFolder } from '../checkpoint/helpers.js'
import { tinySizes } from '../plan/models.js'

// A checkpoint that gets shorter while it is used, at another moment in each round, in a process of its own: a signal would end it.

const run = promisify(execFile)
const dist = pathToFileURL(join(import.meta.dirname, '../../dist/index.js')).href

async function model(): Promise<string> {
  const folder = join(await temporaryFolder(), 'model')
  const sizes = { ...tinySizes, blocks: 2, width: 256, heads: 4, headDim: 64, ff: 512, vocab: 40_000 }
  await writeSynthetic(folder, t5Architecture(sizes), { dtype: 'F32', seed: 1 })
  return folder
}

/** What each round of the script ended with: `done`, or the code of its error. `round(i)` is JavaScript. */
async function rounds(folder: string, round: string): Promise<unknown[]> {
  const source = `
    import { cpSync, truncateSync } from 'node:fs'
    import { setTimeout as sleep } from 'node:timers/promises'
    import { Encoder } from ${JSON.stringify(dist)}
    const from = ${JSON.stringify(folder)}
    const copy = (i) => (cpSync(from, from + i, { recursive: true }), from + i)
    const shorten = (folder) => truncateSync(folder + '/model.safetensors', 4096)
    const data = Int32Array.from({ length: 4000 }, (_, i) => (i * 97) % 40000)
    const input = { inputIds: { data, shape: [4, 1000] } }
    const end = (promise) => promise.then(() => 'done', (error) => error.code ?? String(error))
    const outcomes = []
    for (let i = 0; i < 5; i++) await (async () => { ${round} })()
    console.log(JSON.stringify(outcomes))`
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', source])
  return JSON.parse(stdout) as unknown[]
}

describe('a checkpoint that gets shorter', () => {
  it('while a plan is loaded ends the load, not the process', async () => {
    const outcomes = await rounds(
      await model(),
      `const folder = copy(i)
       const load = end(Encoder.load(folder, { device: 'cpu', onProgress: () => i === 0 && shorten(folder) }))
       await sleep(10 + 4 * i)
       shorten(folder)
       outcomes.push(await load)`,
    )
    for (const outcome of outcomes) expect(['done', 'ERR_CHECKPOINT']).toContain(outcome)
  })

  it('while rows of its embedding are read ends the call, not the process', async () => {
    const outcomes = await rounds(
      await model(),
      `const folder = copy(i)
       const encoder = await Encoder.load(folder, { device: 'cpu' })
       const call = end(encoder.encode(input))
       await sleep(2 * i)
       shorten(folder)
       outcomes.push(await call, await end(encoder.encode(input)))
       await encoder.dispose()`,
    )
    for (const [i, outcome] of outcomes.entries()) {
      if (i % 2 === 1) expect(outcome).toBe('ERR_CHECKPOINT')
      else expect(['done', 'ERR_CHECKPOINT']).toContain(outcome)
    }
  })

  it.each(['int8', 'int4'] as const)('does not reach %s weights that were not mapped', async (precision) => {
    const plain = await model()
    const packed = join(await temporaryFolder(), 'packed')
    await exportPacked(await openCheckpoint(plain), Plan.dense(2), packed, { precision })
    const outcomes = await rounds(
      packed,
      `const folder = copy(i)
       const encoder = await Encoder.load(folder, { device: 'cpu', mapped: false })
       const inputsEmbeds = { data: new Float32Array(512 * 256).fill(0.25), shape: [1, 512, 256] }
       const { embeddings: before } = await encoder.encode({ inputsEmbeds })
       const call = encoder.encode({ inputsEmbeds })
       await sleep(i)
       shorten(folder)
       outcomes.push(await end(call), Buffer.compare(Buffer.from((await encoder.encode({ inputsEmbeds })).embeddings.buffer), Buffer.from(before.buffer)))
       const shorter = Encoder.load(folder, { device: 'cpu', mapped: false })
       outcomes.push(await end(shorter))
       await encoder.dispose()`,
    )
    expect(outcomes).toEqual(Array.from({ length: 5 }, () => ['done', 0, 'ERR_CHECKPOINT']).flat())
  })

  it('while its packed weights are read ends the load, not the process', async () => {
    const plain = await model()
    const packed = join(await temporaryFolder(), 'packed')
    await exportPacked(await openCheckpoint(plain), Plan.dense(2), packed, { precision: 'int8' })
    const outcomes = await rounds(
      packed,
      `const folder = copy(i)
       const load = end(Encoder.load(folder, { device: 'cpu', mapped: false, onProgress: () => i === 0 && shorten(folder) }))
       await sleep(10 + 2 * i)
       shorten(folder)
       outcomes.push(await load)`,
    )
    for (const outcome of outcomes) expect(['done', 'ERR_CHECKPOINT']).toContain(outcome)
  })
})
