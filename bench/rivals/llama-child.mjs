// llama.cpp as node-llama-cpp ships it: the prebuilt addon itself, since the package above it hands out one vector a prompt.
// Prompts run one after the other: with T5's bias this llama.cpp takes one sequence a batch (an assertion says so).
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { getBinsDir } from '@node-llama-cpp/linux-x64'
import { serve } from './serve.mjs'

const { binsDir, packageVersion } = getBinsDir()
const folder = join(binsDir, 'linux-x64')
const { release } = JSON.parse(readFileSync(join(folder, '_nlcBuildMetadata.json'))).buildOptions.llamaCpp
const llama = createRequire(import.meta.url)(join(folder, 'llama-addon.node'))

await serve(async ({ model: file, ids, threads }) => {
  llama.setLoggerLogLevel(2) // errors
  llama.loadBackends(folder) // picks the processor's own libggml-cpu-*.so
  await llama.init()
  const model = new llama.AddonModel(file, { gpuLayers: 0, addonExports: llama })
  if (!(await model.init())) throw new Error(`${file}: llama.cpp does not load it`)
  const tokens = ids[0].length
  const context = new llama.AddonContext(model, {
    ...{ contextSize: tokens, batchSize: tokens, sequences: 1, embeddings: true },
    ...{ threads, flashAttention: 'auto' },
  })
  if (!(await context.init())) throw new Error(`${file}: llama.cpp makes no context`)

  const encode = async (prompt) => {
    context.initBatch(tokens)
    context.addToBatch(0, 0, Uint32Array.from(prompt), Uint32Array.from(prompt.keys()))
    await context.decodeBatch()
    context.disposeSequence(0) // it keeps them as a prefix, which an encoder cannot use
  }
  return {
    version: `${release} (node-llama-cpp ${packageVersion})`,
    // the embeddings stay in llama.cpp's buffer: a caller from C++ reads them there
    forward: async () => {
      for (const prompt of ids) await encode(prompt)
    },
    // [batch, width]: of each prompt's tokens the addon hands out the last
    embeddings: async () => {
      const rows = []
      for (const prompt of ids) {
        await encode(prompt)
        rows.push(...context.getEmbedding(tokens))
      }
      return Float32Array.from(rows)
    },
  }
})
