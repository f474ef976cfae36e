import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import * as skrr from '../../src/index.js'
import { promptModel } from '../checkpoint/helpers.js'
import { golden } from '../golden.js'

// Every exported function, called without types: one argument, or one field of one, is of a wrong type. Whatever it is, the
// answer is an error of ours (or a result, where it happens to be right), never a TypeError from the middle of our code.

const { Encoder, Plan, SkrrError } = skrr
const model = golden('t5-tiny-v11')
const folder = mkdtempSync(join(tmpdir(), 'skrr-types-'))
afterAll(() => rmSync(folder, { recursive: true }))

const encoder = await Encoder.load(model)
afterAll(() => encoder.dispose())
const checkpoint = await skrr.openCheckpoint(model)
const { architecture } = checkpoint
const plan = Plan.skip(6, [2, 3], { 2: 0 })
const input = { inputIds: { data: Int32Array.of(5, 6, 1, 7, 8, 1), shape: [2, 3] } }
const layers = [{ weight: new Float32Array(128), bias: new Float32Array(2), rows: 2, columns: 64 }]
const search = { target: { skipCount: 1 }, method: 'paper', chunkTokens: 3, projection: layers, null: input }
const selection = await skrr.selectPlan(encoder, input, search as skrr.SelectOptions)
const similarity = await skrr.measureSimilarity(encoder, input)
const context = { architecture, precision: 'f32', model: 'm', plan: 'p', similarity }
const compensation = { rank: 1, down: new Float32Array(64), up: new Float32Array(64) }
const full = {
  scales: plan.scales,
  precisions: plan.precisions,
  compensation,
  fingerprint: 'x',
  provenance: { a: 1 },
}
const { signal } = new AbortController()
const onProgress = (): void => undefined
const pipeline = await promptModel(join(folder, 'pipeline'))
const slots = { pipeline: 'flux', slots: ['text_encoder_2'] }
const promptEncoder = await skrr.PromptEncoder.load({ text_encoder_2: pipeline }, slots)
afterAll(() => promptEncoder.dispose())
let made = 0
const file = (): string => join(folder, String(made++))
const planFile = file()
await skrr.writePlan(planFile, plan)

type Call = (...args: never[]) => unknown
interface Case {
  readonly call: Call
  /** Right ones. */
  readonly args: readonly unknown[]
}
const of = (call: unknown, ...args: unknown[]): Case => ({ call: call as Call, args })
const method = <T extends object>(self: T, name: keyof T): Call =>
  (self[name] as (...args: unknown[]) => unknown).bind(self)

const cases: Record<string, Case> = {
  'Encoder.load': of(method(Encoder, 'load'), model, {
    ...{
      plan,
      device: 'cpu',
      precision: 'f32',
      threads: 1,
      tokenizer: 'x',
      textEncoder: 'x',
      signal,
      onProgress,
    },
  }),
  'Encoder.estimate': of(method(Encoder, 'estimate'), model, { device: 'cpu', tokens: 3, longest: 3 }),
  'encoder.setPlan': of(method(encoder, 'setPlan'), plan, { signal, onProgress, release: true }),
  'encoder.encode': of(method(encoder, 'encode'), input, {
    ...{ pipeline: 'none', maxTokens: 3, output: 'bf16', masked: 'zero', signal },
  }),
  PromptEncoder: of(
    method(skrr.PromptEncoder, 'load'),
    { text_encoder_2: pipeline },
    {
      ...slots,
      ...{ tokenizers: {}, maxMemory: '3GB', device: 'cpu', precision: 'f32', plans: {}, threads: 1, signal },
    },
  ),
  'PromptEncoder.estimate': of(method(skrr.PromptEncoder, 'estimate'), { text_encoder_2: pipeline }, slots),
  'promptEncoder.encode': of(
    method(promptEncoder, 'encode'),
    { prompt: 'a', max_sequence_length: 8 },
    { signal },
  ),
  Plan: of((...args: ConstructorParameters<typeof Plan>) => new Plan(...args), plan.table, full, 'a file'),
  'Plan.dense': of(method(Plan, 'dense'), 6),
  'Plan.skip': of(method(Plan, 'skip'), 6, [2], { 2: 0 }),
  'Plan.parse': of(method(Plan, 'parse'), plan.toJSON(), 'a file'),
  'plan.with': of(method(plan, 'with'), { table: plan.table, ...full }),
  'plan.validate': of(method(plan, 'validate'), architecture, 'a file'),
  'plan.parameters': of(method(plan, 'parameters'), architecture),
  'plan.sparsity': of(method(plan, 'sparsity'), architecture),
  'plan.equals': of(method(plan, 'equals'), plan),
  readPlan: of(skrr.readPlan, planFile),
  writePlan: of(skrr.writePlan, planFile, plan),
  listPresets: of(skrr.listPresets),
  resolvePreset: of(skrr.resolvePreset, 'dense', architecture),
  strip: of(skrr.strip, plan, { color: true, width: 80 }),
  selectPlan: of(skrr.selectPlan, encoder, input, {
    ...search,
    ...{
      beams: 1,
      dedup: true,
      reuse: false,
      reuseOrder: 'pruned',
      joint: false,
      compensate: 0,
      metric: 'mse',
    },
    ...{ maxTokens: 3, cacheBytes: 0, fullTrace: false, journal: file(), resume: true, signal, onProgress },
    onResult: () => Promise.resolve(),
  }),
  measureSimilarity: of(skrr.measureSimilarity, encoder, input, { maxTokens: 3, signal }),
  writeReport: of(skrr.writeReport, file(), [selection], context),
  blocksOf: of(skrr.blocksOf, architecture),
  denseParameters: of(skrr.denseParameters, architecture),
  subBlockParameters: of(skrr.subBlockParameters, architecture, 0),
  openCheckpoint: of(skrr.openCheckpoint, model, { textEncoder: undefined }),
  exportPacked: of(skrr.exportPacked, checkpoint, plan, '/nowhere/at/all', { precision: 'int8', threads: 1 }),
  exportCheckpoint: of(skrr.exportCheckpoint, checkpoint, plan, '/nowhere/at/all', {
    materialize: true,
    signal,
    onProgress,
  }),
}

const JUNK: readonly unknown[] = [
  null,
  undefined,
  true,
  0,
  -1,
  1.5,
  NaN,
  2 ** 60,
  10n,
  Symbol('junk'),
  {},
  [],
  [null],
  [[]],
  [{}],
  new Map(),
  new Date(0),
  new Float32Array(3),
  () => undefined,
  Object.create(null),
  Object.create({ constructor: undefined }),
  { then: null },
]
/** Texts are never put in the place of texts: they could name a file. */
const texts: readonly unknown[] = ['', 'junk', '\0', '__proto__']

/** The right value with a wrong one somewhere in it: the whole, or a field, or a field of that, up to a depth. */
function spoilt(value: unknown, depth: number): fc.Arbitrary<unknown> {
  const whole = fc.constantFrom(...JUNK, ...(typeof value === 'string' ? [] : texts))
  if (depth === 0 || typeof value !== 'object' || value === null || !isPlain(value)) return whole
  const keys = Object.keys(value)
  if (keys.length === 0) return whole
  const field = fc
    .constantFrom(...keys)
    .chain((key) =>
      spoilt((value as Record<string, unknown>)[key], depth - 1).map((wrong) => changed(value, key, wrong)),
    )
  return fc.oneof(whole, field, fc.constant({ ...value, misspelt: 1 }))
}

const isPlain = (value: object): boolean =>
  Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype

const changed = (value: object, key: string, wrong: unknown): unknown =>
  Array.isArray(value) ? value.with(Number(key), wrong) : { ...value, [key]: wrong }

async function outcome({ call }: Case, args: readonly unknown[]): Promise<unknown> {
  try {
    const result = await call(...(args as never[]))
    if (result instanceof Encoder || result instanceof skrr.PromptEncoder) await result.dispose()
    return undefined
  } catch (error) {
    return error
  }
}

describe('a wrong type', () => {
  it('is tried on every export', () => {
    const isClass = (value: unknown): boolean => value === Encoder || value === Plan
    const functions = Object.entries(skrr)
      .filter(([, value]) => typeof value === 'function' && !isClass(value))
      .filter(([name]) => !name.endsWith('Error')) // made here, not by callers
      .map(([name]) => name)
    expect(Object.keys(cases)).toEqual(expect.arrayContaining(functions))
  })

  it.each(Object.entries(cases).filter(([, { args }]) => args.length > 0))(
    'in %s is an error of ours, in any argument and any field',
    async (_, each) => {
      const wrong = fc
        .nat({ max: each.args.length - 1 })
        .chain((at) => spoilt(each.args[at], 3).map((value) => each.args.with(at, value)))
      await fc.assert(
        fc.asyncProperty(wrong, async (args) => {
          const error = await outcome(each, args)
          if (error !== undefined && !(error instanceof SkrrError)) throw error as Error
        }),
        { numRuns: Number(process.env['SKRR_FUZZ'] ?? 150) },
      )
      // and the whole argument, for sure
      for (const at of each.args.keys()) {
        for (const junk of JUNK) {
          const error = await outcome(each, each.args.with(at, junk))
          if (error !== undefined && !(error instanceof SkrrError)) throw error as Error
        }
      }
    },
  )

  it.each([
    ['Encoder.load', 0, null],
    ['Encoder.load', 1, 7],
    ['encoder.encode', 0, 7],
    ['encoder.setPlan', 0, {}],
    ['Plan', 0, 'a table'],
    ['plan.with', 0, null],
    ['plan.sparsity', 0, { width: 64 }],
    ['plan.equals', 0, null],
    ['writePlan', 1, plan.toJSON()],
    ['strip', 1, 'red'],
    ['selectPlan', 0, checkpoint],
    ['selectPlan', 2, undefined],
    ['selectPlan', 2, { target: { bytes: Symbol('bytes') } }],
    ['selectPlan', 2, { target: { sparsity: Object.create(null) as unknown } }],
    ['selectPlan', 2, { target: { sparsity: '0.5' } }],
    ['Plan', 2, Object.create(null) as unknown],
    ['measureSimilarity', 1, 'a prompt'],
    ['writeReport', 1, selection],
    ['subBlockParameters', 1, 99],
    ['exportPacked', 3, {}],
    ['exportCheckpoint', 0, encoder],
  ])('%s: argument %i', async (name, at, junk) => {
    const each = cases[name]!
    expect(await outcome(each, each.args.with(at, junk))).toBeInstanceOf(SkrrError)
  })
})
