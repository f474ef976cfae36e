/** Each way into the addon under an SKRR_CPU_ISA that is wrong, which is read when the addon is first used. Prints what each says. */
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Encoder, exportPacked, openCheckpoint, Plan } from '../../src/index.js'
import { addonFile } from '../../src/native/addon.js'
import { golden } from '../golden.js'

const model = golden('t5-tiny-v11')
const checkpoint = await openCheckpoint(model)
const addon = createRequire(import.meta.url)(addonFile()) as { describe(): unknown }

const ways: Record<string, () => Promise<unknown>> = {
  'load on cpu': () => Encoder.load(model, { device: 'cpu' }),
  'load on auto': () => Encoder.load(model),
  'load on cuda': () => Encoder.load(model, { device: 'cuda' }),
  'estimate on cpu': () => Encoder.estimate(model, { device: 'cpu' }),
  'estimate on auto': () => Encoder.estimate(model),
  exportPacked: () =>
    exportPacked(checkpoint, Plan.dense(6), join(tmpdir(), 'skrr-never'), { precision: 'int8' }),
  'describe, of the addon itself': () => Promise.resolve().then(() => addon.describe()),
}
const outcomes: Record<string, string> = {}
for (const [name, way] of Object.entries(ways)) {
  outcomes[name] = await way().then(
    () => 'no error',
    (error: unknown) => `${(error as { code: string }).code}: ${(error as Error).message}`,
  )
}
console.log(JSON.stringify(outcomes))
