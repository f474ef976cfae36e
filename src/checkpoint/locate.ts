import { basename, dirname, join } from 'node:path'
import { z } from 'zod'
import { CheckpointError } from '../errors.js'
import { identifyBytes } from './identify.js'
import { isFolder, namesIn, readExactly, readJson, withFile } from '../io/files.js'
import { check } from '../io/check.js'

/** Finds which files of a folder are the weights, the tokenizer, the text encoders. It reads names, and no large file. */

export const CONFIG_BYTES = 1 << 20
const INDEX_BYTES = 64 << 20

/** The files the weights are in and, where an index says so, which tensor is in which. */
export interface WeightFiles {
  readonly files: readonly string[]
  readonly index?: { readonly file: string; readonly weightMap: ReadonlyMap<string, string> }
}

const INDEX = /^(diffusion_pytorch_)?model\.safetensors\.index(\.[\w-]+)?\.json$/
const WHOLE = /^(diffusion_pytorch_)?model(\.[\w-]+)?\.safetensors$/

/**
 * Finds `model.safetensors`, or else the shards of `model.safetensors.index.json`. Where neither exists, it takes the only variant
 * of them, such as diffusers' `model.fp16.safetensors` or `model.safetensors.index.fp16.json`.
 */
export async function locateWeights(folder: string): Promise<WeightFiles> {
  const names = await namesIn(folder)
  if (names.includes('model.safetensors')) return { files: [join(folder, 'model.safetensors')] }
  if (names.includes('model.safetensors.index.json')) {
    return readIndex(folder, 'model.safetensors.index.json', names)
  }
  const variants = names.filter((name) => INDEX.test(name) || WHOLE.test(name))
  const [variant] = variants
  if (variants.length === 1 && variant !== undefined) {
    return INDEX.test(variant) ? readIndex(folder, variant, names) : { files: [join(folder, variant)] }
  }
  throw new CheckpointError({
    file: folder,
    found:
      variants.length > 1 ? `several variants (${variants.join(', ')})` : await otherWeights(folder, names),
    expected: 'model.safetensors or model.safetensors.index.json',
  })
}

async function readIndex(folder: string, name: string, names: readonly string[]): Promise<WeightFiles> {
  const file = join(folder, name)
  // a shard's name must be a plain one: an index from the internet must not lead out of its folder
  const shard = z.string('a file name').regex(/^(?!\.)[^/\\\0]+$/, 'a file name without a path')
  const schema = z.object(
    { weight_map: z.record(z.string(), shard, 'an object: tensor name -> file') },
    'an object',
  )
  const { weight_map: map } = check(schema, await readJson(file, INDEX_BYTES), file)
  const shards = [...new Set(Object.values(map))].sort()
  const missing = shards.filter((each) => !names.includes(each))
  if (shards.length === 0 || missing.length > 0) {
    throw new CheckpointError({
      file,
      field: 'weight_map',
      found: missing.length > 0 ? `missing files (${missing.join(', ')})` : 'no files',
      expected: shards.length > 0 ? `${shards.length} shards in ${folder}` : 'the shards',
      hint: missing.length > 0 ? 'The download is incomplete; fetch the missing shards.' : undefined,
    })
  }
  return {
    files: shards.map((each) => join(folder, each)),
    index: { file, weightMap: new Map(Object.entries(map)) },
  }
}

/** Says what a folder without safetensors holds instead. */
async function otherWeights(folder: string, names: readonly string[]): Promise<string> {
  const other = names.find((name) => /\.(bin|pt|pth|ckpt|h5|msgpack|gguf|onnx)$/.test(name))
  if (other === undefined) return 'neither'
  const kind = await identifyFile(join(folder, other)).catch(() => undefined)
  return `${other}${kind === undefined ? '' : `, ${kind}`}`
}

const identifyFile = (file: string): Promise<string | undefined> =>
  withFile(file, async (handle, size) => {
    const start = new Uint8Array(Math.min(size, 256))
    await readExactly(handle, start, 0, file)
    return identifyBytes(start)
  })

/**
 * Finds the tokenizer for weights in `folder`: beside them, in a `tokenizer*` folder there, or, in a diffusers pipeline, in the
 * folder with the encoder's number. tokenizer.json comes before spiece.model: diffusers users get its ids.
 */
export async function locateTokenizer(folder: string): Promise<string | undefined> {
  const inside = (await namesIn(folder)).filter((name) => /^tokenizer(_\w+)?$/.test(name))
  const number = /^text_encoder(_\d+)?$/.exec(basename(folder))
  const sibling = number === null ? [] : [join(dirname(folder), `tokenizer${number[1] ?? ''}`)]
  for (const place of [folder, ...inside.map((name) => join(folder, name)), ...sibling]) {
    const names = await namesIn(place)
    // a tokenizer with merges is another encoder's: byte-pair encoding, not sentencepiece
    if (names.includes('merges.txt')) continue
    const file = ['tokenizer.json', 'spiece.model'].find((name) => names.includes(name))
    if (file !== undefined) return join(place, file)
  }
  return undefined
}

/** The `text_encoder*` folders of a diffusers pipeline. */
export async function textEncoders(folder: string): Promise<string[]> {
  const found: string[] = []
  for (const name of await namesIn(folder)) {
    if (/^text_encoder(_\d+)?$/.test(name) && (await isFolder(join(folder, name)))) found.push(name)
  }
  return found
}
