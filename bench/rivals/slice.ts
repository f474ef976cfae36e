/**
 * The model that everybody runs: two blocks of T5-XXL with made-up weights, in bf16, so that no one's weights are rounded
 * before his own quantisation. The vocabulary is cut: nobody multiplies its rows, but some hold them in float32.
 */
import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { t5Architecture, T5_XXL_SIZES } from '../../src/families/t5.js'
import type { T5Sizes } from '../../src/families/t5-sizes.js'
import { toFloat32 } from '../../src/model/half.js'
import { writeSynthetic } from '../../src/export/synthetic.js'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import type { PlainEncoding } from '../../src/model/encoding.js'

export const SIZES: T5Sizes = { ...T5_XXL_SIZES, blocks: 2, vocab: 1024 }
export const SLICE = t5Architecture(SIZES)

export interface Size {
  readonly batch: number
  readonly tokens: number
}
export const sizeName = ({ batch, tokens }: Size): string => `${batch}x${tokens}`

/** @param name as `sizeName` gives it */
export function parseSize(name: string): Size {
  const [, batch, tokens] = /^(\d+)x(\d+)$/.exec(name) ?? []
  if (tokens === undefined) throw new Error(`--sizes: found ${name}, expected BATCHxTOKENS`)
  return { batch: Number(batch), tokens: Number(tokens) }
}

/** Token ids [batch, tokens], the same for everybody; no pads, and no id that means something to a tokenizer. */
export const idsOf = ({ batch, tokens }: Size): number[][] =>
  Array.from({ length: batch }, (_, b) =>
    Array.from({ length: tokens }, (_, t) => 16 + ((7919 * (b * tokens + t) + 13) % (SIZES.vocab - 16))),
  )

/** A folder that is there whole or not at all. */
export async function folderOnce(folder: string, fill: (folder: string) => Promise<void>): Promise<string> {
  if (existsSync(folder)) return folder
  const partial = `${folder}.partial`
  await rm(partial, { recursive: true, force: true })
  await mkdir(partial, { recursive: true })
  await fill(partial)
  await rename(partial, folder)
  return folder
}

/** The slice as a Hugging Face folder under `dir`. */
export async function sliceFolder(dir: string): Promise<string> {
  const folder = join(dir, 'slice')
  if (!existsSync(folder)) await writeSynthetic(folder, SLICE, { dtype: 'BF16', seed: 1 })
  return folder
}

/** A tensor of the slice in float32, row-major: a matrix is [out, in]. */
export async function weight(slice: string, name: string): Promise<Float32Array> {
  const tensor = (await readTensors(join(slice, 'model.safetensors'), [name])).get(name)
  if (tensor === undefined) throw new Error(`${slice}: no tensor ${name}`)
  const { buffer, byteOffset, byteLength } = tensor.data
  return toFloat32(tensor.dtype as PlainEncoding, new Uint8Array(buffer, byteOffset, byteLength))
}

/** T5's bucket of a key at `distance` = key - query, bidirectional (Raffel et al., 2020; transformers' modeling_t5.py). */
export function bucketOf(distance: number, { buckets, maxDistance }: T5Sizes): number {
  const half = buckets / 2
  const side = distance > 0 ? half : 0
  const far = Math.abs(distance)
  const exact = half / 2
  if (far < exact) return side + far
  // float32 as upstream computes it: at powers of two the logarithm decides between two buckets
  const place = Math.fround(Math.log(far / exact)) / Math.fround(Math.log(maxDistance / exact))
  return side + Math.min(half - 1, exact + Math.floor(Math.fround(place * (half - exact))))
}
