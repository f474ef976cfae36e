import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openCheckpoint } from '../../src/checkpoint/open.js'
import {
  native,
  runJob,
  type CancelToken,
  type NativeEncoder,
  type NativeHandle,
} from '../../src/native/addon.js'
import { nativePlan, nativeSpec } from '../../src/native/spec.js'
import { Plan } from '../../src/index.js'
import { golden } from '../golden.js'

// Every function of the addon, with a value of another kind in each place of an object: a TypeError, before any memory is read.

const WIDTH = 64
const batch = {
  starts: Int32Array.from([0, 1]),
  indices: Int32Array.from([0]),
  visible: Uint8Array.from([1]),
  ids: Int32Array.from([5]),
}
type Kind = 'Encoder' | 'CancelToken' | 'LoadedPlan' | 'States' | 'Features' | 'Map' | 'Regression'
type Call = (...given: never[]) => unknown

const ours = {} as Record<Kind, object>
const others: Record<string, unknown> = {
  nothing: undefined,
  null: null,
  'a number': 5,
  'a string': 'states',
  'an object': {},
  'an array': [],
  'a function': () => undefined,
  'a typed array': new Float32Array(4),
  'a date': new Date(0),
}

beforeAll(async () => {
  const spec = nativeSpec(await openCheckpoint(golden('t5-tiny-v11')))
  const dense = Plan.dense(6).with({ precisions: Array<'f32'>(12).fill('f32') })
  const token = new (native().CancelToken)()
  const encoder = await runJob([], (cancel) => native().open(spec, { threads: 1 }, cancel))
  const plan = await encoder.loadPlan(nativePlan(dense), token)
  const states = await encoder.begin(batch, token)
  const layers = [{ weight: new Float32Array(2 * WIDTH), rows: 2, columns: WIDTH }]
  Object.assign(ours, {
    Encoder: encoder,
    CancelToken: token,
    LoadedPlan: plan,
    States: states,
    Features: await encoder.features(states, undefined, undefined, token),
    Map: await encoder.loadMap({ layers, residual: false }),
    Regression: await encoder.newRegression(),
  } satisfies Record<Kind, object>)
  // a Proxy of one of them, and an object that only inherits from one, are none
  others['a proxy of states'] = new Proxy(states, {})
  others['an heir of states'] = Object.create(states)
})
afterAll(() => (ours.Encoder as NativeEncoder).dispose())

/** What each method takes; a name stands for an object of that kind, `?` marks one that may be left out. */
const METHODS: Record<string, readonly unknown[]> = {
  loadPlan: [{ slots: new Int32Array(12).fill(-1), scales: new Float32Array(12) }, 'CancelToken'],
  encode: [batch, 'LoadedPlan', [], 'CancelToken'],
  begin: [batch, 'CancelToken'],
  advance: ['States', 'LoadedPlan', 0, 1, 'CancelToken'],
  features: ['States', 'LoadedPlan?', 'Map?', 'CancelToken'],
  measure: ['States', 'LoadedPlan', 0, 'Map?', 'Features', 'CancelToken'],
  compareStates: ['States', 'States'],
  compareFeatures: ['Features', 'Features'],
  addTo: ['Regression', 'States', 'States', 1, 'CancelToken'],
  fit: ['Regression', 1, undefined, new Float32Array(WIDTH), new Float32Array(WIDTH), 1, 'CancelToken'],
}
const KINDS: readonly string[] = [
  'Encoder',
  'CancelToken',
  'LoadedPlan',
  'States',
  'Features',
  'Map',
  'Regression',
]
const kindOf = (argument: unknown): string | undefined =>
  KINDS.find((kind) => argument === kind || argument === `${kind}?`)
const places = Object.entries(METHODS).flatMap(([method, given]) =>
  given.flatMap((argument, place) => {
    const kind = kindOf(argument)
    return kind === undefined ? [] : [{ method, place, kind, optional: String(argument).endsWith('?') }]
  }),
)

/** Values that are no object of this kind. */
const wrong = (kind: string): [string, unknown][] => [
  ...KINDS.filter((other) => other !== kind).map((other): [string, unknown] => [other, ours[other as Kind]]),
  ...Object.entries(others),
]
const filled = (given: readonly unknown[]): unknown[] =>
  given.map((argument) => (kindOf(argument) === undefined ? argument : ours[kindOf(argument) as Kind]))

describe('a function of the addon', () => {
  it.each(places)('$method refuses what is no $kind at place $place', ({ method, place, kind, optional }) => {
    const encoder = ours.Encoder as unknown as Record<string, Call>
    for (const [name, value] of wrong(kind)) {
      if (optional && (value === undefined || value === null)) continue
      const given = filled(METHODS[method]!)
      given[place] = value
      expect(() => encoder[method]!(...(given as never[])), name).toThrow(TypeError)
    }
  })

  it.each(Object.keys(METHODS))('%s refuses to be called without anything', (method) => {
    const encoder = ours.Encoder as unknown as Record<string, Call>
    expect(() => encoder[method]!()).toThrow(TypeError)
  })

  it('is a method of its own kind only', () => {
    for (const [kind, object] of Object.entries(ours)) {
      const prototype = Object.getPrototypeOf(object) as object
      for (const [name, property] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
        const method = (property.value ?? Reflect.get(property, 'get')) as Call
        if (name === 'constructor') continue
        for (const [other, receiver] of wrong(kind)) {
          expect(() => method.call(receiver as never), `${kind}.${name} of ${other}`).toThrow(TypeError)
        }
      }
    }
  })

  it('makes no object of a class but its own', () => {
    for (const [kind, object] of Object.entries(ours)) {
      const { constructor } = object as { constructor: new (...given: unknown[]) => object }
      if (kind === 'CancelToken') continue
      for (const value of [...Object.values(others), ...Object.values(ours)]) {
        expect(() => new constructor(value), kind).toThrow(TypeError)
      }
    }
  })

  it.each(['open', 'estimate', 'bench'] as const)('%s refuses values of other kinds', (name) => {
    const call = Reflect.get(native(), name) as Call
    for (const value of [...Object.values(others), ...Object.values(ours)]) {
      expect(() => call(...([value, value, value, value, value, value] as never[]))).toThrow(TypeError)
    }
  })

  it('works on, whatever it was given', async () => {
    const token = ours.CancelToken as CancelToken
    const encoder = ours.Encoder as NativeEncoder
    const states = await encoder.begin(batch, token)
    expect(states.bytes).toBe((ours.States as NativeHandle).bytes)
    states.dispose()
    await expect(async () => await encoder.compareStates(states, states)).rejects.toThrow('disposed')
  })
})
