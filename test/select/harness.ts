import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { openCheckpoint } from '../../src/checkpoint/open.js'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { subBlockCount } from '../../src/geometry.js'
import { nativeSpec } from '../../src/native-spec.js'
import { native, type NativeEncoder } from '../../src/native.js'
import { chunksOf, maskedSequences, type Chunk } from '../../src/select/calibration.js'
import { Evaluator, type EvaluatorOptions } from '../../src/select/measure.js'
import { GOLDEN } from '../checkpoint/helpers.js'

export const MODEL = join(GOLDEN, 't5-tiny-v11')
export const SKRR = join(GOLDEN, 't5-tiny-v11-skrr')

/** The engine with every sub-block of a checkpoint loaded, gone when the test is over. */
export async function loadEngine(
  path = MODEL,
): Promise<{ engine: NativeEncoder; geometry: Evaluator['geometry'] }> {
  const checkpoint = await openCheckpoint(path)
  const cancel = new (native().CancelToken)()
  const engine = await native().open(nativeSpec(checkpoint), { precision: 'f32', threads: 1 }, cancel)
  onTestFinished(() => engine.dispose().then(() => undefined))
  const { geometry } = checkpoint
  await engine.load(Int32Array.from(Array(subBlockCount(geometry)).keys()), cancel)
  return { engine, geometry }
}

/** The golden runs' inputs, a prompt a chunk. */
export async function goldenChunks(name: 'calibration' | 'ragged' = 'calibration'): Promise<Chunk[]> {
  const tensors = await readTensors(join(SKRR, 'inputs.safetensors'))
  const int = (key: string) => {
    const tensor = tensors.get(key)
    return tensor?.dtype === 'I32' ? { data: tensor.data, shape: tensor.shape } : undefined
  }
  const mask = int(`${name}.attention_mask`)?.data
  return [
    ...chunksOf(maskedSequences(int(`${name}.input_ids`)!, mask, name), false),
    ...chunksOf(maskedSequences(int('null.input_ids')!, undefined, 'null'), true),
  ]
}

export async function goldenEvaluator(options: Partial<EvaluatorOptions> = {}): Promise<Evaluator> {
  const { engine, geometry } = await loadEngine()
  const evaluator = await Evaluator.create({ engine, geometry, chunks: await goldenChunks(), ...options })
  onTestFinished(() => evaluator.dispose())
  return evaluator
}
