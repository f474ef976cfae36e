import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PlanError } from '../../src/errors.js'
import { denseParameters } from '../../src/model/parameters.js'
import { fingerprint } from '../../src/model/fingerprint.js'
import { Plan } from '../../src/plan/plan.js'
import { PRECISIONS } from '../../src/model/precision.js'
import { t5Architecture } from '../../src/families/t5.js'
import { t5xxl, tiny, tinySizes } from './models.js'

const runs = Number(process.env['SKRR_FUZZ'] ?? 2000)
const file = (fields: object) => ({ format: 'skrr-plan', version: 1, table: [0, 1, 2, 3], ...fields })
const message = (json: unknown): string => {
  try {
    Plan.parse(json, 'p.json')
  } catch (error) {
    expect(error).toBeInstanceOf(PlanError)
    return (error as Error).message
  }
  throw new Error('was accepted')
}

/** Any well-formed plan of 1 to 8 blocks. */
const plans = fc.integer({ min: 1, max: 8 }).chain((blocks) => {
  const source = (p: number) =>
    fc.option(fc.integer({ min: 0, max: blocks - 1 }).map((block) => 2 * block + (p % 2)))
  const scale = fc.constantFrom(1, 1, 1, 0.25, 0.5, -2, 0, 1e-3)
  const each = <T>(of: (p: number) => fc.Arbitrary<T>) =>
    fc.tuple(...Array.from({ length: 2 * blocks }, (_, p) => of(p)))
  return fc
    .record({
      table: each(source),
      scales: fc.option(
        each(() => scale),
        { nil: undefined },
      ),
      precisions: fc.option(
        each(() => fc.option(fc.constantFrom(...PRECISIONS))),
        { nil: undefined },
      ),
      fingerprint: fc.option(fc.string(), { nil: undefined }),
      provenance: fc.option(
        fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<unknown>),
        { nil: undefined },
      ),
    })
    .map(({ table, ...options }) => new Plan(table, options))
})

describe('a plan', () => {
  it('is dense, skips and re-uses by the sub-block whose weights run at each position', () => {
    expect(Plan.dense(2).table).toEqual([0, 1, 2, 3])
    const plan = Plan.skip(4, [2, 5, 6], { 2: 0, 5: 7 })
    expect(plan.table).toEqual([0, 1, 0, 3, 4, 7, null, 7])
    expect(plan.skipped()).toEqual([6])
    expect(plan.reused()).toEqual({ 2: 0, 5: 7 })
    expect(plan.sources()).toEqual([0, 1, 3, 4, 7])
  })

  it('agrees with every golden plan on what is skipped and re-used', () => {
    const golden = JSON.parse(readFileSync('test/golden/t5-tiny-v11-plans/expected.json', 'utf8')) as {
      plans: Record<string, { plan: number[]; skipped: number[]; reused: Record<number, number> }>
    }
    expect(Object.keys(golden.plans)).toHaveLength(18)
    for (const { plan, skipped, reused } of Object.values(golden.plans)) {
      const ours = new Plan(plan.map((source) => (source < 0 ? null : source)))
      expect([ours.skipped(), ours.reused()]).toEqual([skipped, reused])
    }
  })

  it('cannot be changed', () => {
    const plan = new Plan([0, 1], { provenance: { by: { whom: 'me' } } })
    expect(() => ((plan.table as number[])[0] = 1)).toThrow(TypeError)
    expect(() => ((plan.scales as number[])[0] = 2)).toThrow(TypeError)
    expect(() => ((plan.provenance as { by: { whom: string } }).by.whom = 'you')).toThrow(TypeError)
    expect(() => Object.assign(plan, { table: [] })).toThrow(TypeError)
  })

  it('equals another that computes the same, whatever its labels', () => {
    const plan = new Plan([0, null], { scales: [0.5, 1], fingerprint: 'a', provenance: { x: 1 } })
    expect(plan.equals(new Plan([0, null], { scales: [0.5, 9] }))).toBe(true) // nothing is scaled where nothing runs
    expect(plan.equals(new Plan([0, null]))).toBe(false)
    expect(plan.equals(new Plan([0, 1], { scales: [0.5, 1] }))).toBe(false)
    expect(plan.equals(Plan.dense(2))).toBe(false)
    expect(plan.equals(new Plan([0, null], { scales: [0.5, 1], precisions: ['int8', null] }))).toBe(false)
  })

  it('names a precision for weights, not for places: where nothing runs with them there is none', () => {
    const plan = new Plan([2, 1, 2, null], { precisions: ['int8', 'int8', 'bf16', 'f32'] })
    expect(plan.precisions).toEqual([null, 'int8', 'bf16', null])
    expect(plan.stringify()).toContain('\n  "precisions": [null, "int8", "bf16", null]\n')
    expect(new Plan([2, 1, 2, null]).toJSON()).not.toHaveProperty('precisions')
  })

  it('refuses a skip or re-use that means nothing', () => {
    expect(() => Plan.skip(2, [4])).toThrow('skip: found 4, expected a sub-block of 0 to 3')
    expect(() => Plan.skip(2, [1.5])).toThrow(PlanError)
    expect(() => Plan.skip(2, [1], { 2: 0 })).toThrow('reuse: found 2, expected a sub-block of the skip set')
    expect(() => Plan.skip(2, [1], { 1: 2 })).toThrow('table[1]: found 2, an attention')
    expect(() => Plan.dense(0)).toThrow(PlanError)
    expect(() => Plan.dense(2 ** 40)).toThrow(PlanError)
  })
})

describe('sparsity', () => {
  it('is the share of parameters not loaded, the embedding counted in: six blocks of T5-XXL are 24.3 %', () => {
    const gone = [10, 11, 8, 9, 12, 13]
    const plan = Plan.skip(
      24,
      gone.flatMap((block) => [2 * block, 2 * block + 1]),
    )
    expect(denseParameters(t5xxl)).toBe(4_762_310_656)
    expect(plan.parameters(t5xxl)).toBe(4_762_310_656 - 6 * (67_112_960 + 125_833_216))
    expect(plan.sparsity(t5xxl)).toBe((6 * (67_112_960 + 125_833_216)) / 4_762_310_656)
    expect((100 * plan.sparsity(t5xxl)).toFixed(1)).toBe('24.3')
  })

  it('counts weights once however often they run, and 0 for dense', () => {
    expect(Plan.dense(4).sparsity(tiny)).toBe(0)
    expect(Plan.skip(4, [2], { 2: 4 }).sparsity(tiny)).toBe(Plan.skip(4, [2]).sparsity(tiny))
  })
})

describe('fitting a model', () => {
  it('names the shape of a model in one word', () => {
    expect(fingerprint(t5xxl)).toBe('t5-24x4096-h64x64-ff10240-gated-gelu_tanh')
    expect(fingerprint(t5Architecture({ ...tinySizes, gated: false, activation: 'relu' }))).toBe(
      't5-4x16-h2x8-ff24-relu',
    )
  })

  it('wants the depth of the model, and its shape where the plan names one', () => {
    expect(Plan.dense(4).parameters(tiny)).toBe(denseParameters(tiny))
    expect(() => Plan.dense(6).validate(tiny, 'p.json')).toThrow(
      'p.json: table: found 12 entries, expected 8',
    )
    const bound = new Plan(Plan.dense(4).table, { fingerprint: fingerprint(tiny) })
    expect(bound.parameters(tiny)).toBe(denseParameters(tiny))
    expect(() => bound.validate({ ...tiny, width: 32 })).toThrow('geometry.fingerprint: found "t5-4x16')
    expect(() => bound.sparsity(t5Architecture({ ...tinySizes, ff: 8 }))).toThrow(PlanError)
  })
})

describe('the plan file', () => {
  it('has its table on one readable line, and no scales where all are 1', () => {
    const plan = new Plan([0, 1, null, 1], { provenance: { from: ['a', { b: 1 }] } })
    expect(plan.stringify()).toBe(`{
  "format": "skrr-plan",
  "version": 1,
  "table": [0, 1, null, 1],
  "provenance": {
    "from": [
      "a",
      {
        "b": 1
      }
    ]
  }
}
`)
    expect(new Plan([0, 1], { scales: [0.5, 1] }).stringify()).toContain('\n  "scales": [0.5, 1]\n')
  })

  it('comes back as it was written, from text and from JSON', () => {
    fc.assert(
      fc.property(plans, (plan) => {
        for (const back of [Plan.parse(plan.stringify()), Plan.parse(plan.toJSON())]) {
          expect(back.equals(plan)).toBe(true)
          expect(back.fingerprint).toBe(plan.fingerprint)
          expect(back.stringify()).toBe(plan.stringify())
        }
      }),
      { numRuns: Math.min(runs, 2000) },
    )
  })

  it.each([
    [
      file({ scale: [1, 1, 1, 1] }),
      'found unknown field "scale", expected only format, version, table, scales, precisions',
    ],
    [
      file({ geometry: { shape: 1, fingerprint: '' } }),
      'geometry: found unknown field "shape", expected only fingerprint',
    ],
    [file({ format: 'skrr' }), 'format: found "skrr", expected "skrr-plan"'],
    [file({ version: 2 }), 'version: found 2, expected 1'],
    [file({ table: undefined }), 'table: found nothing, expected an array'],
    [file({ table: '0123' }), 'table: found "0123"'],
    [file({ table: [] }), 'table: found 0 entries'],
    [file({ table: [0, 1, 2] }), 'table: found 3 entries, expected an even number'],
    [file({ table: [0, 1, 2, '3'] }), 'table[3]: found "3", expected a sub-block index or null'],
    [file({ table: [0, 1, 2, 3.5] }), 'table[3]: found 3.5'],
    [file({ table: [0, 1, 2, 5] }), 'table[3]: found 5, expected a sub-block of 0 to 3 or null'],
    [file({ table: [0, 1, -2, 3] }), 'table[2]: found -2'],
    [file({ table: [0, 0, 2, 3] }), 'table[1]: found 0, an attention, expected a feed-forward'],
    [file({ table: [0, 1, 3, 3] }), 'table[2]: found 3, a feed-forward, expected an attention'],
    [file({ scales: [1, 1] }), 'scales: found 2 entries, expected 4'],
    [file({ scales: [1, 1, 1, null] }), 'scales[3]: found null, expected a finite number'],
    [
      file({ scales: [1, 1e39, 1, 1] }),
      'scales[1]: found 1e+39, expected a number that is finite in float32',
    ],
    [file({ precisions: ['int8'] }), 'precisions: found 1 entries, expected 4'],
    [file({ precisions: 'int8' }), 'precisions: found "int8", expected an array with a precision or null'],
    [
      file({ precisions: [null, 'int3', null, null] }),
      'precisions[1]: found "int3", expected one of f32, bf16, int8, int4',
    ],
    [file({ provenance: [] }), 'provenance: found an array of 0, expected an object'],
    [file({ provenance: { when: new Date() } }), 'provenance.when: found a Date, expected plain JSON'],
    [[], 'found an array of 0, expected a plan'],
    [null, 'found null, expected a plan'],
    ['', 'found text that is not JSON'],
    ['{"format": "skrr-plan", "version": 1, "table": [0, 1], "table": [null, 1]}', 'the key "table" twice'],
    ['{"format": "skrr-plan", "table": [', 'found text that is not JSON'],
  ])('%# %o is an error that names the field', (json, part) => {
    expect(message(json)).toContain(part)
    expect(message(json)).toMatch(/^p\.json: /)
  })

  it('survives nesting without end and keys that mean something to JavaScript', () => {
    const deep = `{"format":"skrr-plan","version":1,"table":[0,1],"provenance":{"a":${'['.repeat(1e5)}${']'.repeat(1e5)}}}`
    expect(message(deep)).toContain('more than 32 nested levels')
    const loop: Record<string, unknown> = {}
    loop['loop'] = loop
    expect(message(file({ provenance: loop }))).toContain('more than 32 nested levels')
    const text = '{"format":"skrr-plan","version":1,"table":[0,1],"provenance":{"a":{"__proto__":{"x":1}}}}'
    expect(JSON.stringify(Plan.parse(text).provenance)).toBe('{"a":{"__proto__":{"x":1}}}')
    expect(message('{"__proto__":1}')).toContain('format')
  })

  it('is a plan or a PlanError, whatever the bytes', () => {
    const plan = JSON.stringify({
      ...file({ scales: [1, 0.5, 1, 1] }),
      geometry: { fingerprint: 'f' },
      provenance: {},
    })
    const mangled = fc
      .tuple(fc.nat(plan.length), fc.nat(8), fc.string({ maxLength: 6 }))
      .map(([at, cut, put]) => plan.slice(0, at) + put + plan.slice(at + cut))
    const field = fc.oneof(
      fc.jsonValue() as fc.Arbitrary<unknown>,
      fc.array(fc.option(fc.integer({ min: -1, max: 9 }))),
    )
    const keys = fc.constantFrom(
      'format',
      'version',
      'table',
      'scales',
      'precisions',
      'geometry',
      'provenance',
      'x',
      '__proto__',
    )
    const shaped = fc.dictionary(keys, field).map((fields) => file(fields))
    const anything = fc.oneof(mangled, shaped, fc.string(), fc.json(), fc.anything())
    fc.assert(
      fc.property(anything, (json) => {
        try {
          expect(Plan.parse(json)).toBeInstanceOf(Plan)
        } catch (error) {
          if (!(error instanceof PlanError)) throw error
        }
      }),
      { numRuns: runs },
    )
  })
})
