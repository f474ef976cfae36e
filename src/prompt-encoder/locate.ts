import { show } from '../io/show.js'
import { stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { openCheckpoint } from '../checkpoint/open.js'
import type { Checkpoint } from '../checkpoint/types.js'
import { CheckpointError, InputError } from '../errors.js'
import { familyOf } from '../families/index.js'
import { isFolder, readJson } from '../io/files.js'
import { pipelineNamed, pipelineOfClass } from '../pipelines/catalogue.js'
import type { PipelineData, SlotData } from '../pipelines/types.js'
import { shippedTokenizer } from '../prompts/vocabularies.js'

/** Where an encoder of a pipeline lies. */
export interface Place {
  readonly name: string
  readonly slot: SlotData
  readonly checkpoint: Checkpoint | undefined
  readonly path: string
  /** A file or folder. */
  readonly tokenizer: string
  /** The tokenizer is this package's own. */
  readonly shipped: boolean
}

export interface Located {
  readonly data: PipelineData
  readonly index: Readonly<Record<string, unknown>>
  readonly denoiser: Readonly<Record<string, unknown>>
  readonly places: readonly Place[]
}

export interface Wanted {
  readonly pipeline?: string | undefined
  readonly slots?: readonly string[] | undefined
  readonly tokenizers?: Readonly<Record<string, string>> | undefined
  readonly signal?: AbortSignal | undefined
}

/** The encoders and tokenizers of a folder of diffusers, of files by slot, or of one file. @throws CheckpointError, InputError */
export async function locatePipeline(
  source: string | Readonly<Record<string, string>>,
  wanted: Wanted,
): Promise<Located> {
  const root = typeof source === 'string' && (await isFolder(source)) ? source : undefined
  const index = root === undefined ? {} : await jsonIn(join(root, 'model_index.json'))
  const data = pipelineOf(root, index, wanted.pipeline)
  const denoiser = root === undefined ? {} : await jsonIn(join(root, 'transformer', 'config.json'))
  const files = typeof source === 'string' ? await filesOf(source, root, data, wanted) : source
  checkNames(data, Object.keys(files))
  const names = namesOf(data, files, index, wanted.slots)
  const places: Place[] = []
  for (const name of names) places.push(await placeOf(name, data.slots[name]!, files, root, wanted))
  return { data, index, denoiser, places }
}

const MAX_JSON = 1 << 20

async function jsonIn(file: string): Promise<Record<string, unknown>> {
  const found = await stat(file).catch(() => undefined)
  if (found === undefined) return {}
  const json = await readJson(file, MAX_JSON)
  if (typeof json === 'object' && json !== null && !Array.isArray(json))
    return json as Record<string, unknown>
  throw new CheckpointError({ file, found: 'no object', expected: 'a JSON object' })
}

function pipelineOf(root: string | undefined, index: Record<string, unknown>, named?: string): PipelineData {
  if (named !== undefined) return pipelineNamed(named)
  const { _class_name: of } = index
  const known = typeof of === 'string' ? pipelineOfClass(of) : undefined
  if (known !== undefined) return pipelineNamed(known)
  throw new InputError({
    ...(root === undefined ? {} : { file: join(root, 'model_index.json') }),
    field: typeof of === 'string' ? '_class_name' : 'pipeline',
    found: typeof of === 'string' ? of : 'none',
    expected: 'a pipeline that is known',
    hint: 'Name the one that calls its encoders alike as `pipeline` (CLI: --pipeline)',
  })
}

/** By slot: the folders that are there; or a single file, for the slot whose encoder it is. */
async function filesOf(
  source: string,
  root: string | undefined,
  data: PipelineData,
  wanted: Wanted,
): Promise<Record<string, string>> {
  const folders: Record<string, string> = {}
  for (const [name, { idsOnly }] of Object.entries(data.slots)) {
    const folder = join(source, name)
    if (root !== undefined && !idsOnly && (await isFolder(folder))) folders[name] = folder
  }
  if (Object.keys(folders).length > 0) return folders
  const name = wanted.slots?.length === 1 ? wanted.slots[0]! : await slotOfFile(source, data)
  return { [name]: source }
}

/** The one slot whose shipped vocabulary the weights of a file have. */
async function slotOfFile(file: string, data: PipelineData): Promise<string> {
  const names = Object.keys(data.slots).filter((name) => !data.slots[name]!.idsOnly)
  if (names.length === 1) return names[0]!
  const { architecture } = await openCheckpoint(file)
  const kind = familyOf(architecture).title
  const fitting = names.filter((name) => data.slots[name]!.encoder === architecture.family)
  if (fitting.length === 1) return fitting[0]!
  throw new InputError({
    file,
    field: 'slots',
    found: `a ${kind}, which ${fitting.length === 0 ? 'none' : 'several'} of the pipeline's encoders are`,
    expected: `the name of its slot: ${names.join(', ')}`,
  })
}

function checkNames(data: PipelineData, names: readonly string[]): void {
  const wrong = names.find((name) => !Object.hasOwn(data.slots, name))
  if (wrong === undefined) return
  const expected = Object.keys(data.slots).join(', ')
  throw new InputError({ field: 'slots', found: show(wrong), expected })
}

/** Slots to load: those asked for, or all; one that is missing is an error, unless the pipeline runs without it. */
function namesOf(
  data: PipelineData,
  files: Readonly<Record<string, string>>,
  index: Readonly<Record<string, unknown>>,
  asked: readonly string[] | undefined,
): string[] {
  if (asked) checkNames(data, asked)
  const names = asked ?? Object.keys(data.slots)
  const given = Object.keys(files)
  const isPart = asked === undefined && given.length === 1 && !Object.hasOwn(index, '_class_name')
  return names.filter((name) => {
    if (Object.hasOwn(files, name)) return true
    const { optional, idsOnly } = data.slots[name]!
    const entry = index[name]
    const isNull = Array.isArray(entry) && entry.every((part) => part === null)
    if (idsOnly || isPart || (optional && (isNull || entry === undefined))) return Boolean(idsOnly) && !isPart
    throw new InputError({
      field: name,
      found: 'no such encoder',
      expected: `it beside ${given.join(', ') || 'the others'}, as the pipeline needs it`,
      hint: `To encode a part alone, name it as \`slots\` (CLI: --slots ${given[0] ?? name})`,
    })
  })
}

async function placeOf(
  name: string,
  slot: SlotData,
  files: Readonly<Record<string, string>>,
  root: string | undefined,
  { tokenizers, signal }: Wanted,
): Promise<Place> {
  const path = files[name] ?? ''
  const checkpoint = slot.idsOnly ? undefined : await openCheckpoint(path, { signal })
  const base = root ?? (checkpoint && (await isFolder(path)) ? dirname(path) : undefined)
  const beside = base === undefined ? undefined : join(base, slot.tokenizer)
  const own = tokenizers?.[name] ?? (beside && (await isFolder(beside)) ? beside : checkpoint?.tokenizerPath)
  const tokenizer = own ?? (checkpoint && shippedTokenizer(checkpoint.architecture))
  if (tokenizer === undefined) {
    throw new InputError({
      file: path,
      field: slot.tokenizer,
      found: 'no tokenizer',
      expected: `one for ${name}`,
      hint: `Give its folder as tokenizers: { ${name}: ... }`,
    })
  }
  return { name, slot, checkpoint, path, tokenizer, shipped: own === undefined }
}
