import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { readIds } from '../../src/cli/inputs.js'
import { Encoder } from '../../src/encoder.js'
import { Plan } from '../../src/plan/plan.js'
import { selectPlan, type SelectOptions } from '../../src/select/index.js'
import { DATA, fileWith, GOLDEN } from '../checkpoint/helpers.js'

const FIXTURES = join(import.meta.dirname, '../fixtures/v0.1')
const MODEL = join(FIXTURES, 't5-v1.1/source')

/** A checkpoint is what its bytes are, whatever its name. */
const SINGLE_FILES = ['model.safetensors', 'model.gguf', 'model.bin']

/** A search that takes some 30 ms on the model of the seed `journal`. Its journal is good for the same options alone. */
const SEARCH: SelectOptions = {
  target: { skipCount: 2 },
  method: 'finercut',
  chunkTokens: 8,
  null: [''],
}
export const searched = async (folder: string): Promise<SelectOptions> => ({
  ...SEARCH,
  null: await readIds(join(folder, 'null.safetensors')),
})

/** Writes the files that cases change, a folder for each name. They are small, so that a case takes some milliseconds. */
export async function writeSeeds(folder: string): Promise<void> {
  const at = (...names: string[]): string => join(folder, ...names)
  const model = (name: string, from: string): void => cpSync(from, at(name), { recursive: true })
  model('t5', MODEL)
  model('umt5', join(FIXTURES, 'umt5/source'))
  model('sharded', join(GOLDEN, 't5-tiny-v10/bf16-sharded'))
  model('int8', join(FIXTURES, 't5-v1.1/int8'))
  model('int4', join(FIXTURES, 'umt5/int4'))
  model('mixed', join(FIXTURES, 't5-v1.0/mixed'))
  model('sparse', join(FIXTURES, 't5-v1.1/sparse'))
  mkdirSync(at('single'))
  for (const name of SINGLE_FILES) cpSync(join(MODEL, 'model.safetensors'), at('single', name))
  writePipeline(at('pipeline'))
  writeHub(at('hub'))
  writePlans(at('plans'))
  writeInputs(at('inputs'))
  model('projections', join(GOLDEN, 'projections'))
  writeTokenizers(at('tokenizers'))
  await writeJournal(at('journal'))
}

function writePipeline(folder: string): void {
  cpSync(MODEL, join(folder, 'text_encoder_2'), { recursive: true })
  writeJson(join(folder, 'model_index.json'), {
    _class_name: 'FluxPipeline',
    text_encoder: ['transformers', 'CLIPTextModel'],
    text_encoder_2: ['transformers', 'T5EncoderModel'],
    tokenizer_2: ['transformers', 'T5TokenizerFast'],
  })
}

function writeHub(folder: string): void {
  cpSync(MODEL, join(folder, 'snapshots/0123456789abcdef'), { recursive: true })
  mkdirSync(join(folder, 'refs'))
  writeFileSync(join(folder, 'refs/main'), '0123456789abcdef')
}

function writePlans(folder: string): void {
  cpSync(MODEL, join(folder, 'model'), { recursive: true })
  cpSync(join(FIXTURES, 't5-v1.1/plan.json'), join(folder, 'plan.json'))
  const width = 64
  const factor = new Float32Array(2 * width).fill(0.01)
  const compensated = new Plan([0, 1, null, 1, 4, 5], {
    scales: [1, 0.5, 1, 2, 1, 1],
    precisions: ['f32', 'int8', null, null, 'int4', 'bf16'],
    compensation: { rank: 2, down: factor, up: factor },
    provenance: { note: 'a seed', nested: [{ a: 1 }] },
  })
  writeFileSync(join(folder, 'compensated.json'), compensated.stringify())
}

/** Ids and embeddings for a model of width 64, as `skrr encode` reads them. */
function writeInputs(folder: string): void {
  cpSync(MODEL, join(folder, 'model'), { recursive: true })
  cpSync(join(FIXTURES, 'inputs.safetensors'), join(folder, 'ids.safetensors'))
  const header = {
    inputs_embeds: { dtype: 'F32', shape: [1, 3, 64], data_offsets: [0, 768] },
    attention_mask: { dtype: 'I64', shape: [1, 3], data_offsets: [768, 792] },
  }
  writeFileSync(join(folder, 'embeds.safetensors'), fileWith(header, 792))
}

const PIECES = 300

/** T5's tokenizers with their first pieces alone: whole ones take half a second. */
function writeTokenizers(folder: string): void {
  mkdirSync(folder)
  const from = join(DATA, 'tokenizers/t5')
  const json = JSON.parse(readFileSync(join(from, 'tokenizer.json'), 'utf8')) as {
    added_tokens: unknown[]
    normalizer: { normalizers: unknown[] }
    model: { vocab: unknown[] }
  }
  json.model.vocab.length = PIECES
  json.added_tokens.length = 3
  json.normalizer.normalizers.shift() // the table of characters: most of the file
  writeJson(join(folder, 'tokenizer.json'), json)
  writeFileSync(join(folder, 'spiece.model'), firstPieces(readFileSync(join(from, 'spiece.model'))))
}

/** The fields of a SentencePiece model but its table of characters; of its pieces the first. */
function firstPieces(model: Buffer): Buffer {
  const PIECE = 0x0a
  const TRAINER = 0x12
  const kept: Buffer[] = []
  let at = 0
  while (at < model.length) {
    const begin = at
    const tag = model[at++]!
    let length = 0
    for (let shift = 0; ; shift += 7) {
      const byte = model[at++]!
      length |= (byte & 127) << shift
      if (byte < 128) break
    }
    at += length
    if (tag === TRAINER || (tag === PIECE && kept.length < PIECES)) kept.push(model.subarray(begin, at))
  }
  return Buffer.concat(kept)
}

/** The journal of a search that was stopped half way. */
async function writeJournal(folder: string): Promise<void> {
  cpSync(MODEL, join(folder, 'model'), { recursive: true })
  cpSync(join(FIXTURES, 'inputs.safetensors'), join(folder, 'calibration.safetensors'))
  cpSync(join(FIXTURES, 'search/null.safetensors'), join(folder, 'null.safetensors'))
  const journal = join(folder, 'journal')
  rmSync(journal, { force: true })
  const stop = new AbortController()
  const encoder = await Encoder.load(join(folder, 'model'), { device: 'cpu', threads: 1 })
  const stopped = selectPlan(encoder, await readIds(join(folder, 'calibration.safetensors')), {
    ...(await searched(folder)),
    journal,
    signal: stop.signal,
    onProgress: ({ plan }) => {
      if (plan.skipped().length > 0) stop.abort()
    },
  })
  await stopped
    .catch((error: unknown) => {
      if (!stop.signal.aborted) throw error
    })
    .finally(() => encoder.dispose())
}

const writeJson = (file: string, value: unknown): void => {
  mkdirSync(join(file, '..'), { recursive: true })
  writeFileSync(file, JSON.stringify(value))
}
