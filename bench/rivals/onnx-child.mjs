import { createRequire } from 'node:module'
import { InferenceSession, Tensor } from 'onnxruntime-node'
import { serve } from './serve.mjs'

await serve(async ({ model, ids, threads }) => {
  const session = await InferenceSession.create(model, {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    graphOptimizationLevel: 'all',
  })
  const data = BigInt64Array.from(ids.flat(), BigInt)
  const input_ids = new Tensor('int64', data, [ids.length, ids[0].length])
  return {
    version: createRequire(import.meta.url)('onnxruntime-node/package.json').version,
    forward: async () => Object.values(await session.run({ input_ids }))[0].data,
  }
})
