import { createRequire } from 'node:module'
import { Encoder } from '../../dist/index.js'
import { serve } from './serve.mjs'

await serve(async ({ model, ids, threads, precision }) => {
  const encoder = await Encoder.load(model, { device: 'cpu', precision, threads })
  const inputIds = { data: Int32Array.from(ids.flat()), shape: [ids.length, ids[0].length] }
  return {
    version: createRequire(import.meta.url)('../../package.json').version,
    forward: async () => (await encoder.encode({ inputIds })).embeddings,
  }
})
