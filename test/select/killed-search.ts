/** The search that journal.test.ts kills; it is slow enough to be killed in the middle. */
import { join } from 'node:path'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { Encoder } from '../../src/encoder.js'
import { selectPlan } from '../../src/select/index.js'

const golden = join(import.meta.dirname, '../golden')
const encoder = await Encoder.load(join(golden, 't5-tiny-v11'), { precision: 'f32', threads: 1 })
const ids = (await readTensors(join(golden, 't5-tiny-v11-skrr/inputs.safetensors'))).get(
  'calibration.input_ids',
)!
const block = new Int32Array(new SharedArrayBuffer(4))
await selectPlan(
  encoder,
  { inputIds: { data: ids.data as Int32Array, shape: ids.shape } },
  {
    target: { skipCount: 5 },
    chunkTokens: 12,
    method: 'paper',
    journal: process.argv[2]!,
    onProgress: () => void Atomics.wait(block, 0, 0, 20),
  },
)
await encoder.dispose()
