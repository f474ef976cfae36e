import { basename, dirname, join } from 'node:path'
import { z } from 'zod'
import { CheckpointError } from '../errors.js'
import { MAX_JSON_BYTES, type JsonBudget } from './budget.js'
import { identifyBytes, PICKLE_HINT } from './identify.js'
import { isFolder, namesIn, readExactly, readJson, withFile } from '../io/files.js'
import { check, show } from '../io/check.js'

/** Finds which files of a folder are the weights, the tokenizer, the text encoders. It reads names, and no large file. */

export const CONFIG_BYTES = 256 << 10

/** The files the weights are in and, where an index says so, which tensor is in which. */
export interface WeightFiles {
  readonly files: readonly string[]
  readonly index?: { readonly file: string; readonly weightMap: ReadonlyMap<string, string> }
}

const INDEX = /^(?:diffusion_pytorch_)?model(\.[\w-]+)?\.safetensors\.index(\.[\w-]+)?\.json$/
const WHOLE = /^(?:diffusion_pytorch_)?model(\.[\w-]+)?\.safetensors$/
const SHARD = /-\d+-of-\d+(\.[\w-]+)?\.safetensors$/

/**
 * Finds `model.safetensors`, or else the shards of `model.safetensors.index.json`. Where neither exists, it takes the only variant
 * of them, such as diffusers' `model.fp16.safetensors` or `model.safetensors.index.fp16.json`.
 */
export async function locateWeights(folder: string, budget: JsonBudget): Promise<WeightFiles> {
  const names = await namesIn(folder)
  const found =
    ['model.safetensors', 'model.safetensors.index.json'].find((name) => names.includes(name)) ??
    (await loneVariant(folder, names))
  return INDEX.test(found) ? readIndex(folder, found, budget) : { files: [join(folder, found)] }
}

/** The file of the one variant there is, before the index of its shards. */
async function loneVariant(folder: string, names: readonly string[]): Promise<string> {
  const files = names.filter((name) => !SHARD.test(name) && (WHOLE.test(name) || INDEX.test(name)))
  const variants = new Set(files.map(variantOf))
  const file = files.find((name) => WHOLE.test(name)) ?? files[0]
  if (file !== undefined && variants.size === 1) return file
  const other = await otherWeights(folder, names)
  throw new CheckpointError({
    file: folder,
    found: variants.size > 1 ? `several variants (${files.join(', ')})` : other.found,
    expected: 'model.safetensors or model.safetensors.index.json',
    hint: variants.size > 1 ? 'Name the file of one, or leave one in the folder.' : other.hint,
  })
}

const variantOf = (name: string): string => {
  const [, before = '', after = ''] = (INDEX.exec(name) ?? WHOLE.exec(name))!
  return before + after
}

// Below the folder of the index, by plain names: an index from the internet must not lead out of it.
const SHARD_PATH = /^(?!\.)[^/\\\0]+(\/(?!\.)[^/\\\0]+)*$/
const indexSchema = z.object({ weight_map: z.looseObject({}, 'an object: tensor name -> file') }, 'an object')

/** Not by a schema, which takes seconds for a million names. @throws CheckpointError for what is no file's name */
function checkShards(file: string, map: Record<string, unknown>): asserts map is Record<string, string> {
  const sound = new Set<unknown>()
  for (const [name, shard] of Object.entries(map)) {
    if (sound.has(shard)) continue
    if (typeof shard !== 'string' || !SHARD_PATH.test(shard)) {
      const expected = typeof shard === 'string' ? 'the path of a file below the index' : 'a file name'
      throw new CheckpointError({ file, field: `weight_map.${name}`, found: show(shard), expected })
    }
    sound.add(shard)
  }
}

async function readIndex(folder: string, name: string, budget: JsonBudget): Promise<WeightFiles> {
  const file = join(folder, name)
  const { weight_map: map } = check(indexSchema, await readJson(file, MAX_JSON_BYTES, budget), file)
  checkShards(file, map)
  const shards = [...new Set(Object.values(map))].sort()
  const missing = await absentFrom(folder, shards)
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

async function absentFrom(folder: string, paths: readonly string[]): Promise<string[]> {
  const folders = new Map<string, readonly string[]>()
  for (const each of new Set(paths.map((path) => dirname(path)))) {
    folders.set(each, await namesIn(join(folder, each)))
  }
  return paths.filter((path) => !folders.get(dirname(path))!.includes(basename(path)))
}

/** Says what a folder without safetensors holds instead, and what to do about it. */
async function otherWeights(
  folder: string,
  names: readonly string[],
): Promise<{ found: string; hint: string | undefined }> {
  const safetensors = names.filter((name) => name.endsWith('.safetensors'))
  if (safetensors.length > 0) return { found: 'neither', hint: nameOne(safetensors) }
  const other = names.find((name) => /\.(bin|pt|pth|ckpt|h5|msgpack|gguf|onnx)$/.test(name))
  if (other === undefined) return { found: 'neither', hint: undefined }
  const kind = await identifyFile(join(folder, other)).catch(() => undefined)
  const found = `${other}${kind === undefined ? '' : `, ${kind}`}`
  return { found, hint: /\.(bin|pt|pth|ckpt)$/.test(other) ? PICKLE_HINT : undefined }
}

/** For messages: single files in a folder that is no checkpoint. */
export const nameOne = (files: readonly string[]): string =>
  `To open a single file, name it: ${files.slice(0, 5).join(', ')}`

const identifyFile = (file: string): Promise<string | undefined> =>
  withFile(file, async (handle, size) => {
    const start = new Uint8Array(Math.min(size, 256))
    await readExactly(handle, start, 0, file)
    return identifyBytes(start)
  })

/** tokenizer.json comes first: diffusers users get its ids. tokenizer.model is how Llama's is named. */
export const TOKENIZER_FILES = ['tokenizer.json', 'spiece.model', 'tokenizer.model'] as const

/**
 * Finds the tokenizer for weights in `folder`: beside them, in a `tokenizer*` folder there, or, in a diffusers pipeline, in the
 * folder with the encoder's number.
 */
export async function locateTokenizer(folder: string): Promise<string | undefined> {
  const inside = (await namesIn(folder)).filter((name) => /^tokenizer(_\w+)?$/.test(name))
  const number = /^text_encoder(_\d+)?$/.exec(basename(folder))
  const sibling = number === null ? [] : [join(dirname(folder), `tokenizer${number[1] ?? ''}`)]
  for (const place of [folder, ...inside.map((name) => join(folder, name)), ...sibling]) {
    const names = await namesIn(place)
    // a tokenizer with merges.txt is another encoder's: byte-pair encoding, not sentencepiece
    if (names.includes('merges.txt')) continue
    const file = TOKENIZER_FILES.find((name) => names.includes(name))
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
