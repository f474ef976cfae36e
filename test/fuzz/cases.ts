import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { PRECISIONS, type Precision } from '../../src/model/precision.js'
import { byteEdit, editBytes, type ByteEdit } from './bytes.js'
import { editJson, jsonEdit, type JsonEdit } from './json.js'
import { editTensors, tensorEdit, type TensorEdit } from './tensors.js'

/** What is done with the files of a case. */
export type Action =
  | 'load'
  | 'estimate'
  | 'inspect'
  | 'export'
  | 'materialize'
  | 'pack'
  | 'plan'
  | 'ids'
  | 'embeds'
  | 'resume'
  | 'projection'
  | 'tokenize'

/** How a file is changed: `lines` are JSON texts, one a line. */
type Form = 'safetensors' | 'json' | 'lines' | 'bytes'

interface Scenario {
  /** A folder of seeds.ts. */
  readonly seed: string
  /** The file in it that is changed. */
  readonly file: string
  readonly form: Form
  readonly actions: readonly Action[]
}

const WITH_WEIGHTS: readonly Action[] = [
  'load',
  'load',
  'load',
  'load',
  'estimate',
  'inspect',
  'export',
  'materialize',
  'pack',
]
const WEIGHTS = 'model.safetensors'
const CONFIG = 'config.json'

const weights = (seed: string, actions = WITH_WEIGHTS, file = WEIGHTS): Scenario => ({
  ...{ seed, file, form: 'safetensors', actions },
})
const json = (
  seed: string,
  file: string,
  actions: readonly Action[] = ['load', 'load', 'inspect'],
): Scenario => ({
  ...{ seed, file, form: 'json', actions },
})
/** How often each is drawn, and what. */
const WEIGHTED: readonly (readonly [number, Scenario])[] = [
  [16, weights('t5')],
  [6, weights('umt5')],
  [12, weights('single')],
  [1, weights('single', WITH_WEIGHTS, 'model.gguf')],
  [1, weights('single', WITH_WEIGHTS, 'model.bin')],
  [3, weights('sharded', WITH_WEIGHTS, 'model-00002-of-00004.safetensors')],
  [6, weights('int8', ['load', 'load', 'inspect'])],
  [6, weights('int4', ['load', 'load', 'inspect'])],
  [4, weights('mixed', ['load', 'load', 'inspect'])],
  [4, weights('sparse')],
  [8, json('t5', CONFIG)],
  [3, json('int8', CONFIG)],
  [5, json('sharded', 'model.safetensors.index.json')],
  [2, json('sparse', 'skrr-plan.json')],
  [2, json('mixed', 'skrr-plan.json')],
  [2, json('pipeline', 'model_index.json')],
  [1, { seed: 'hub', file: 'refs/main', form: 'bytes', actions: ['load'] }],
  [4, json('plans', 'plan.json', ['plan'])],
  [4, json('plans', 'compensated.json', ['plan'])],
  [6, { seed: 'journal', file: 'journal', form: 'lines', actions: ['resume'] }],
  [4, weights('inputs', ['ids'], 'ids.safetensors')],
  [3, weights('inputs', ['embeds'], 'embeds.safetensors')],
  [2, weights('projections', ['projection'], 'pixart.safetensors')],
  [2, weights('projections', ['projection'], 'flux.safetensors')],
  [2, json('tokenizers', 'tokenizer.json', ['tokenize'])],
  [1, { seed: 'tokenizers', file: 'spiece.model', form: 'bytes', actions: ['tokenize'] }],
]
export const SCENARIOS = WEIGHTED.map(([, scenario]) => scenario)

const scenario = fc.oneof(...WEIGHTED.map(([weight, value]) => ({ weight, arbitrary: fc.constant(value) })))

/** Mostly one or two: a file that is nearly right gets further than one that is broken in five places. */
const few = <T>(edit: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(edit, { minLength: 1, maxLength: 2 })
const none = fc.constant([])

interface Edits {
  readonly tensors: readonly TensorEdit[]
  readonly texts: readonly JsonEdit[]
  readonly bytes: readonly ByteEdit[]
}

const oftenOf = (weight: number, given: Partial<{ [K in keyof Edits]: fc.Arbitrary<Edits[K]> }>) => ({
  weight,
  arbitrary: fc.record({ tensors: none, texts: none, bytes: none, ...given }),
})
const text = { texts: few(jsonEdit) }
const byte = { bytes: few(byteEdit) }
const tensor = { tensors: few(tensorEdit) }
const ofText = fc.oneof(oftenOf(8, text), oftenOf(2, byte), oftenOf(1, { ...text, ...byte }))

const editsOf: Readonly<Record<Form, fc.Arbitrary<Edits>>> = {
  safetensors: fc.oneof(
    oftenOf(5, tensor),
    oftenOf(4, text),
    oftenOf(3, byte),
    oftenOf(1, { ...tensor, ...text, ...byte }),
  ),
  json: ofText,
  lines: ofText,
  bytes: fc.oneof(oftenOf(1, byte)),
}

const cases = scenario.chain((chosen) =>
  fc.record({
    scenario: fc.constant(chosen),
    edits: editsOf[chosen.form],
    action: fc.constantFrom(...chosen.actions),
    precision: fc.constantFrom(undefined, ...PRECISIONS),
    /** Of the input: beyond 128 they reach the last buckets of distances. */
    tokens: fc.constantFrom(1, 5, 140, 300),
    line: fc.nat(0x7fffffff),
  }),
)

/** One case: it depends on its seed and number alone. */
export interface Case extends Edits {
  readonly scenario: Scenario
  readonly action: Action
  readonly precision: Precision | undefined
  readonly tokens: number
  readonly line: number
}

export function caseOf(seed: number, number: number): Case {
  // of neighbours the generator's first numbers are alike
  const mixed = Math.imul(Math.imul(seed, 0x9e3779b1) ^ number, 0x85ebca6b) ^ (number * 0x27d4eb2f)
  const { edits, ...drawn } = fc.sample(cases, { seed: mixed | 0, numRuns: 1 })[0]!
  return { ...drawn, ...edits }
}

/** Writes the files of a case into a folder that is not there yet. */
export function writeCase(seeds: string, folder: string, one: Case): void {
  const { seed, file } = one.scenario
  mkdirSync(folder)
  cpSync(join(seeds, seed), folder, { recursive: true })
  const original = readFileSync(join(seeds, seed, file))
  writeFileSync(join(folder, file), editBytes(edited(original, one), one.bytes))
}

function edited(bytes: Buffer, { scenario: { form }, tensors, texts, line }: Case): Buffer {
  switch (form) {
    case 'safetensors':
      return editTensors(bytes, tensors, texts)
    case 'json':
      return Buffer.from(editJson(bytes.toString(), texts))
    case 'lines': {
      const lines = bytes.toString().split('\n')
      const at = line % lines.length
      return Buffer.from(lines.with(at, editJson(lines[at]!, texts)).join('\n'))
    }
    case 'bytes':
      return bytes
  }
}
