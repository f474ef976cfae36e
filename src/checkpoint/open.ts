import { withSummary } from './describe.js'
import { abortSignal, checkArgument, checkPath, optionsOf, text } from '../io/arguments.js'
import { stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { z } from 'zod'
import { CheckpointError } from '../errors.js'
import type { Architecture } from '../model/architecture.js'
import { bindTensors, type Located } from './bind.js'
import { JsonBudget, TooLargeHere } from './budget.js'
import {
  architectureFromConfig,
  declaredModelType,
  FAMILIES,
  BESIDE_TYPES,
  familyOf,
  MODEL_TYPES,
  ONE_ENCODER,
  type Family,
} from '../families/index.js'
import { ioReason, namesIn, readJson } from '../io/files.js'
import { refuseUnmerged } from './adapters.js'
import { cacheHint, snapshotIn } from './hub-cache.js'
import { identifyTensors, PICKLE_HINT } from './identify.js'
import {
  CONFIG_BYTES,
  locateTokenizer,
  locateWeights,
  nameOne,
  textEncoders,
  type WeightFiles,
} from './locate.js'
import { exportedPrecision } from './packed.js'
import { refuseQuantised } from './quantised.js'
import { readHeader, type SafetensorsHeader } from './safetensors.js'
import { readOnThread } from './thread.js'
import type { Checkpoint } from './types.js'

export interface OpenOptions {
  /** Folder of a text encoder in a diffusers pipeline, such as `text_encoder_2`. Default: the only one that can be used. */
  readonly textEncoder?: string | undefined
  readonly signal?: AbortSignal | undefined
}

const schema = optionsOf({ textEncoder: text, signal: abortSignal })

export const PLAN_FILE = 'skrr-plan.json'

/**
 * Finds the encoder at `path`: a Hugging Face folder, a model in its cache, a diffusers pipeline folder, or one safetensors file
 * (with its config.json beside it, else its architecture inferred from shapes). Reads configs and headers, no weights.
 * Headers and index may have 8 MB together; above 128 KB they are read on a thread of their own.
 * Throws CheckpointError with the file and field that cannot be used, and what the thing looks like instead; the signal's reason.
 */
export async function openCheckpoint(path: string, options: OpenOptions = {}): Promise<Checkpoint> {
  checkPath(path)
  const { textEncoder, signal } = checkArgument(schema, options, 'options')
  signal?.throwIfAborted()
  try {
    return withSummary(await readCheckpoint(path, textEncoder, JsonBudget.here()))
  } catch (error) {
    if (!(error instanceof TooLargeHere)) throw error
    return withSummary(await readOnThread({ path, textEncoder }, signal))
  } finally {
    signal?.throwIfAborted()
  }
}

/** openCheckpoint on the calling thread. @throws what the budget throws */
export async function readCheckpoint(
  path: string,
  textEncoder: string | undefined,
  budget: JsonBudget,
): Promise<Checkpoint> {
  const entry = await stat(path).catch((error: unknown) => {
    throw new CheckpointError(
      { file: path, message: `cannot be opened: ${ioReason(error)}` },
      { cause: error },
    )
  })
  if (!entry.isDirectory() && textEncoder === undefined) return openFile(path, budget)
  const snapshot = await snapshotIn(path, await namesIn(path))
  const root = snapshot ?? path
  const names = await namesIn(root)
  const encoders = await textEncoders(root)
  // a pipeline may have a config.json of its own; a model may keep other encoders below it
  const single =
    names.includes('config.json') && !names.includes('model_index.json') && textEncoder === undefined
  if (
    (encoders.length > 0 && !single) ||
    (names.includes('model_index.json') && !names.includes('config.json'))
  ) {
    const folder = join(root, await chooseEncoder(root, encoders, textEncoder))
    return openFolder(path, folder, await namesIn(folder), budget)
  }
  if (textEncoder !== undefined) {
    throw new CheckpointError({
      file: path,
      found: `no text encoders to choose ${JSON.stringify(textEncoder)} from`,
      expected: 'a diffusers pipeline folder (text_encoder*/)',
    })
  }
  return openFolder(path, root, names, budget)
}

async function openFolder(
  path: string,
  folder: string,
  names: readonly string[],
  budget: JsonBudget,
): Promise<Checkpoint> {
  if (!names.includes('config.json')) {
    throw new CheckpointError({
      file: folder,
      found: 'no config.json',
      expected: 'a Hugging Face or diffusers folder',
      hint: wayOutOf(names),
    })
  }
  const config = join(folder, 'config.json')
  const json = await readJson(config, CONFIG_BYTES)
  const declared = declaredIn(config, json)
  const headers = await readHeaders(await locateWeights(folder, budget), budget)
  return assemble(path, folder, headers, folder, declared)
}

/** For those who named a folder that is no checkpoint. */
function wayOutOf(names: readonly string[]): string | undefined {
  const files = names.filter((name) => name.endsWith('.safetensors'))
  if (names.includes('adapter_config.json'))
    return 'It holds a PEFT adapter alone: merge it into its model first'
  if (files.length > 0) return nameOne(files)
  return names.some((name) => /\.(bin|pt|pth|ckpt)$/.test(name)) ? PICKLE_HINT : cacheHint(names)
}

async function openFile(path: string, budget: JsonBudget): Promise<Checkpoint> {
  const headers = await readHeaders({ files: [path] }, budget)
  const folder = dirname(resolve(path))
  const beside = await declaredBeside(folder)
  const isOwn = beside !== undefined && familyOf(beside.architecture).prefixes(headers.all.keys()).length > 0
  return assemble(path, path, headers, folder, isOwn ? beside : undefined)
}

/** What a config.json beside a single file says, where it is an encoder's; other models' configs are ignored. */
async function declaredBeside(folder: string): Promise<Declared | undefined> {
  if (!(await namesIn(folder)).includes('config.json')) return undefined
  const file = join(folder, 'config.json')
  const json = await readJson(file, CONFIG_BYTES)
  const type = declaredModelType(json) ?? ''
  if (!MODEL_TYPES.includes(type)) return undefined
  return declaredIn(file, json)
}

/** What a config.json says of the weights. */
interface Declared {
  readonly architecture: Architecture
  readonly method: string | undefined
  readonly eosId: number | undefined
}

function declaredIn(file: string, json: unknown): Declared {
  const architecture = architectureFromConfig(file, json)
  const eos = z.object({ eos_token_id: z.int() }).safeParse(json).data?.eos_token_id
  return {
    architecture,
    method: quantisationMethod(json),
    eosId: familyOf(architecture).endsWithEos ? eos : undefined,
  }
}

const quantisedConfig = z.object({ quantization_config: z.object({ quant_method: z.string() }) })

function quantisationMethod(json: unknown): string | undefined {
  const config = quantisedConfig.safeParse(json)
  return config.success ? config.data.quantization_config.quant_method.slice(0, 40) : undefined
}

/** Makes the checkpoint of its parts. Errors about absent tensors name `source`; `folder` holds tokenizer and plan. */
async function assemble(
  path: string,
  source: string,
  { all, metadata }: Headers,
  folder: string,
  declared: Declared | undefined,
): Promise<Checkpoint> {
  const { family, located } =
    declared === undefined
      ? undeclaredTensors(source, all)
      : encoderTensors(source, all, [familyOf(declared.architecture)])
  refuseUnmerged(located)
  await refuseQuantised(located, { metadata, method: declared?.method })
  const full = declared
    ? (family.asStored?.(declared.architecture, located) ?? declared.architecture)
    : family.fromShapes!(source, located)
  const embedding = family.fixed(full).find(({ role }) => role === 'embedding')
  // an encoder of something else than tokens has no embedding, whatever its config says
  const absent = embedding !== undefined && !located.has(embedding.name)
  const architecture = absent ? { ...full, input: { ...full.input, vocab: 0 } } : full
  const beside = await namesIn(folder)
  const planPath = declared !== undefined && beside.includes(PLAN_FILE) ? join(folder, PLAN_FILE) : undefined
  const bound = await bindTensors(architecture, located, { source, sparse: planPath !== undefined, metadata })
  const [precision] = [...metadata].flatMap(([file, entries]) => exportedPrecision(file, entries) ?? [])
  const tokenizerPath = await locateTokenizer(folder)
  return {
    path,
    architecture,
    ...bound,
    ...(declared?.eosId === undefined ? {} : { eosId: declared.eosId }),
    ...(precision === undefined ? {} : { precision }),
    ...(tokenizerPath === undefined ? {} : { tokenizerPath }),
    ...(planPath === undefined ? {} : { planPath }),
  }
}

interface Headers {
  readonly all: ReadonlyMap<string, Located>
  /** `__metadata__` of each file. */
  readonly metadata: ReadonlyMap<string, ReadonlyMap<string, string>>
}

/** Every tensor of the files; with an index, the tensors it names, each in the file it names. */
async function readHeaders({ files, index }: WeightFiles, budget: JsonBudget): Promise<Headers> {
  const byFile: SafetensorsHeader[] = []
  for (const file of files) byFile.push(await readHeader(file, budget)) // one after the other: the budget bounds them all
  const metadata = new Map(byFile.map((header) => [header.file, header.metadata]))
  const all = new Map<string, Located>()
  if (index === undefined) {
    for (const { file, tensors } of byFile) for (const [name, t] of tensors) all.set(name, { ...t, file })
    return { all, metadata }
  }
  const headers = new Map(byFile.map((header) => [header.file, header]))
  for (const [name, shard] of index.weightMap) {
    const header = headers.get(join(dirname(index.file), shard))
    const tensor = header?.tensors.get(name)
    if (header === undefined || tensor === undefined) {
      throw new CheckpointError({
        file: index.file,
        field: `weight_map.${name}`,
        found: `no such tensor in ${shard}`,
        expected: 'the index and its shards to agree',
      })
    }
    all.set(name, { ...tensor, file: header.file })
  }
  return { all, metadata }
}

/** The tensors of the one encoder among `all` of a file without config.json, whose shapes tell its architecture. */
function undeclaredTensors(source: string, all: ReadonlyMap<string, Located>): EncoderTensors {
  const byShapes = FAMILIES.filter((family) => family.fromShapes !== undefined)
  const isIn = (family: Family): boolean => family.prefixes(all.keys()).length > 0
  const other = FAMILIES.filter((family) => !byShapes.includes(family)).find(isIn)
  if (other === undefined || byShapes.some(isIn)) {
    const main = byShapes.filter((family) => family.beside !== true)
    return encoderTensors(source, all, main.some(isIn) ? main : byShapes)
  }
  throw new CheckpointError({
    file: source,
    found: `${identifyTensors([...all.keys()])}, without a config.json`,
    expected: 'the config.json of its model beside it',
    hint: 'Download it from where the weights are from: shapes tell neither its heads nor its rotations.',
  })
}

interface EncoderTensors {
  readonly family: Family
  /** By canonical names. */
  readonly located: Map<string, Located>
}

/** The tensors of the one encoder of these families among `all`. */
function encoderTensors(
  source: string,
  all: ReadonlyMap<string, Located>,
  families: readonly Family[],
): EncoderTensors {
  const found = families.flatMap((family) =>
    family.prefixes(all.keys()).map((prefix) => ({ family, prefix })),
  )
  const [first] = found
  if (first === undefined) {
    throw new CheckpointError({
      file: source,
      found: identifyTensors([...all.keys()]),
      expected: families.map(({ title, tensors }) => `a ${title} (${tensors})`).join(' or '),
    })
  }
  if (found.length > 1) {
    const under = found.map(({ prefix }) => JSON.stringify(prefix)).join(', ')
    const message = `${found.length} encoders, under ${under}`
    throw new CheckpointError({ file: source, found: message, expected: ONE_ENCODER })
  }
  const { family, prefix } = first
  const located = new Map<string, Located>()
  for (const [canonical, name] of family.canonical(all.keys(), prefix)) located.set(canonical, all.get(name)!)
  return { family, located }
}

async function chooseEncoder(
  path: string,
  encoders: readonly string[],
  wanted: string | undefined,
): Promise<string> {
  const types = new Map<string, string>()
  let unreadable: Error | undefined
  for (const name of encoders) {
    const json = await readJson(join(path, name, 'config.json'), CONFIG_BYTES).catch((error: unknown) => {
      if (error instanceof Error) unreadable ??= error
    })
    types.set(name, declaredModelType(json) ?? 'unknown')
  }
  const listed =
    encoders.length === 0 ? 'none' : [...types].map(([name, type]) => `${name} (${type})`).join(', ')
  if (wanted !== undefined) {
    if (types.has(wanted)) return wanted
    throw new CheckpointError({
      file: path,
      field: 'text encoder',
      found: `no ${wanted}`,
      expected: `one of ${listed}`,
    })
  }
  const known = encoders.filter((name) => MODEL_TYPES.includes(types.get(name)!))
  const main = known.filter((name) => !BESIDE_TYPES.includes(types.get(name)!))
  const usable = main.length > 0 ? main : known
  const [only] = usable
  if (only !== undefined && usable.length === 1) return only
  if (only === undefined && unreadable !== undefined) throw unreadable
  throw new CheckpointError({
    file: path,
    field: 'text encoder',
    found: listed,
    expected: `${ONE_ENCODER} among them`,
    hint: usable.length > 1 ? `Choose one with the textEncoder option: ${usable.join(', ')}` : undefined,
  })
}
