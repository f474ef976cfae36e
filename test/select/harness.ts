import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { blocksOf } from '../../src/model/parameters.js'
import { openCheckpoint } from '../../src/checkpoint/open.js'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { Engine } from '../../src/native/engine.js'
import { Plan } from '../../src/plan/plan.js'
import { finish } from '../../src/io/turns.js'
import { packMatrix } from '../../src/prompts/batch.js'
import { chunksOf, type Chunk } from '../../src/select/measure/calibration.js'
import { Evaluator, type EvaluatorOptions } from '../../src/select/measure/evaluator.js'
import { GOLDEN } from '../checkpoint/helpers.js'

export const MODEL = join(GOLDEN, 't5-tiny-v11')
export const SKRR = join(GOLDEN, 't5-tiny-v11-skrr')

/** The engine with every sub-block of a checkpoint loaded; it is disposed when the test is over. */
export async function loadEngine(path = MODEL): Promise<Engine> {
  const checkpoint = await openCheckpoint(path)
  const engine = await Engine.open(checkpoint, { device: 'cpu', precision: 'f32', threads: 1 })
  onTestFinished(() => engine.native.dispose().then(() => undefined))
  await engine.loadPlan(Plan.dense(blocksOf(checkpoint.architecture)), [])
  return engine
}

/** The golden runs' inputs, a prompt a chunk. */
export async function goldenChunks(name: 'calibration' | 'ragged' = 'calibration'): Promise<Chunk[]> {
  const tensors = await readTensors(join(SKRR, 'inputs.safetensors'))
  const packed = (key: string) => {
    const ids = tensors.get(`${key}.input_ids`)!
    const mask = tensors.get(`${key}.attention_mask`)?.data as Int32Array | undefined
    const matrix = { data: ids.data as Int32Array, shape: ids.shape }
    return finish(packMatrix(matrix, mask, { masked: 'zero', vocab: 1e5 }))
  }
  return [...chunksOf(packed(name), 64, false), ...chunksOf(packed('null'), 64, true)]
}

export async function goldenEvaluator(options: Partial<EvaluatorOptions> = {}): Promise<Evaluator> {
  const engine = await loadEngine()
  const evaluator = await Evaluator.create({ engine, chunks: await goldenChunks(), ...options })
  onTestFinished(() => evaluator.dispose())
  return evaluator
}
