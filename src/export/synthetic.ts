import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { attentionOf, feedForwardOf, type Architecture } from '../model/architecture.js'
import { familyOf, tensorsOf, type TensorSpec } from '../families/index.js'
import { configText } from '../families/hugging-face.js'
import { isNorm } from '../model/roles.js'
import { joined } from './parts.js'
import { writeFolderAtomically } from '../io/atomic.js'
import { reporting, type Reports } from '../io/reports.js'
import { fromFloat32 } from '../model/half.js'
import { copyTokenizer } from './tokenizer-files.js'
import { tensorBytes, writeSafetensors, type TensorSource } from './write.js'

export interface SyntheticOptions {
  readonly dtype: 'BF16' | 'F32'
  /** The same seed gives the same bytes. */
  readonly seed: number
  /** Begin a new shard before this many bytes; without it, one model.safetensors. */
  readonly shardBytes?: number | undefined
  /** A folder with tokenizer files to be copied beside the weights. */
  readonly tokenizerFrom?: string | undefined
  /** Bytes of weights written so far, of how many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
  readonly signal?: AbortSignal | undefined
}

/**
 * Writes a checkpoint of any architecture with made-up weights, in Hugging Face's layout, to `folder`, which must not exist or
 * be empty. Weights are normal with the deviations that Hugging Face initialises T5 with, norms scatter a little around 1. The
 * activations stay in a sane range; the embeddings mean nothing. Returns the bytes of weights written.
 * Throws OutputError; the signal's reason; what onProgress threw.
 */
export async function writeSynthetic(
  folder: string,
  architecture: Architecture,
  { dtype, seed, shardBytes, tokenizerFrom, ...ending }: SyntheticOptions,
): Promise<number> {
  const family = familyOf(architecture)
  const shards = splitShards(syntheticTensors(architecture, dtype, seed), shardBytes ?? Infinity)
  const total = shards.flat().reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
  const fill = async (temporary: string, reports: Reports<[number, number]>): Promise<void> => {
    const weightMap = new Map<string, string>()
    let before = 0
    for (const [i, tensors] of shards.entries()) {
      const name = shards.length === 1 ? 'model.safetensors' : shardName(i, shards.length)
      let written = 0
      await writeSafetensors(join(temporary, name), tensors, {
        metadata: { format: 'pt' },
        signal: reports.signal,
        onProgress: (done) => {
          written = done
          reports.report(before + done, total)
        },
      })
      before += written
      for (const tensor of tensors) weightMap.set(tensor.name, name)
    }
    const write = (name: string, value: string): Promise<void> =>
      writeFile(join(temporary, name), value, { flush: true })
    if (shards.length > 1) {
      const index = { metadata: { total_size: total }, weight_map: Object.fromEntries(weightMap) }
      await write('model.safetensors.index.json', `${JSON.stringify(index, null, 2)}\n`)
    }
    await write('config.json', configText(family.config(architecture, dtype)))
    if (tokenizerFrom !== undefined) await copyTokenizer(tokenizerFrom, temporary, family.tokenizerFiles)
    await reports.settled()
  }
  await reporting(ending, (reports) =>
    writeFolderAtomically(folder, (temporary) => fill(temporary, reports), reports.signal),
  )
  return total
}

const shardName = (i: number, count: number): string =>
  `model-${String(i + 1).padStart(5, '0')}-of-${String(count).padStart(5, '0')}.safetensors`

function splitShards(tensors: readonly TensorSource[], limit: number): TensorSource[][] {
  const shards: TensorSource[][] = [[]]
  let bytes = 0
  for (const tensor of tensors) {
    const size = tensorBytes(tensor)
    if (bytes > 0 && bytes + size > limit) {
      shards.push([])
      bytes = 0
    }
    shards.at(-1)!.push(tensor)
    bytes += size
  }
  return shards
}

function syntheticTensors(g: Architecture, dtype: 'BF16' | 'F32', seed: number): TensorSource[] {
  const deviations = deviationsOf(g)
  const ringOf = rings(dtype, normals(seed))
  const tensors = tensorsOf(g).map(({ role, name, shape, part, plus = 0 }, i) => {
    const ring = ringOf(isNorm(role) ? 1 - plus : 0, deviations[role] ?? g.width ** -0.5)
    const start = Math.floor(random(seed ^ Math.imul(i + 1, 0x9e3779b1))() * PERIOD)
    const bytes = tensorBytes({ dtype, shape })
    return { name, dtype, shape, part, data: { [Symbol.iterator]: () => turns(ring, start, bytes) } }
  })
  return joined(tensors)
}

/** Standard deviation of a tensor's elements, as T5PreTrainedModel._init_weights has it; of others width ** -0.5. */
function deviationsOf(a: Architecture): Partial<Record<TensorSpec['role'], number>> {
  const { heads, headDim, scale } = attentionOf(a)!
  return {
    norm: 0.05,
    normBias: 0.05,
    postNorm: 0.05,
    qNorm: 0.05,
    kNorm: 0.05,
    finalNorm: 0.05,
    finalNormBias: 0.05,
    embedding: 1,
    distance: 0.5,
    q: scale === 1 ? (a.width * headDim) ** -0.5 : a.width ** -0.5, // T5 scales its queries' weights alone
    o: (heads * headDim) ** -0.5,
    down: feedForwardOf(a)!.inner ** -0.5,
  }
}

/**
 * All tensors are cut from one ring of random numbers, each from a place of its own, so that writing billions of them costs
 * what copying does. The length is prime: no row length divides it, so no two rows of a matrix are alike.
 */
const PERIOD = 1048573

function rings(dtype: 'BF16' | 'F32', noise: Float32Array): (mean: number, std: number) => Uint8Array {
  const made = new Map<string, Uint8Array>()
  return (mean, std) => {
    const key = `${mean} ${std}`
    const ring =
      made.get(key) ??
      fromFloat32(
        dtype,
        noise.map((x) => mean + std * x),
      )
    made.set(key, ring)
    return ring
  }
}

function* turns(ring: Uint8Array, start: number, bytes: number): Generator<Uint8Array> {
  let at = (start * ring.length) / PERIOD
  for (let left = bytes; left > 0; at = 0) {
    const chunk = ring.subarray(at, at + left)
    yield chunk
    left -= chunk.length
  }
}

/** Box and Muller's normal deviates, in pairs. */
function normals(seed: number): Float32Array {
  const uniform = random(seed)
  const out = new Float32Array(PERIOD)
  for (let i = 0; i < PERIOD; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - uniform()))
    const angle = 2 * Math.PI * uniform()
    out[i] = radius * Math.cos(angle)
    if (i + 1 < PERIOD) out[i + 1] = radius * Math.sin(angle)
  }
  return out
}

/** mulberry32: uniform in [0, 1), the same on every machine. */
function random(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}
