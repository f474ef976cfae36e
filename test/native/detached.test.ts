import { afterEach, describe, expect, it } from 'vitest'
import { Encoder, InputError, Plan, PlanError, selectPlan, type EncoderInput } from '../../src/index.js'
import {
  native,
  type NativeBatch,
  type NativeOutput,
  type NativeEncoder,
  type NativeLoadedPlan,
} from '../../src/native/addon.js'
import { rejection } from '../checkpoint/helpers.js'
import { golden } from '../golden.js'

// The memory of a typed array is its owner's, who may move it away, resize or overwrite it while the engine has yet to read it. Here
// he moves it and fills it with other numbers: whoever reads it then computes something else (and reads freed memory, where it is
// dropped).

const WIDTH = 64
const open: Encoder[] = []
async function load(plan?: Plan): Promise<Encoder> {
  const encoder = await Encoder.load(golden('t5-tiny-v11'), { plan, device: 'cpu', threads: 1 })
  open.push(encoder)
  return encoder
}
afterEach(async () => {
  await Promise.all(open.splice(0).map((encoder) => encoder.dispose()))
})

/** A job that stands before all others, for some hundred milliseconds. */
const long = { inputIds: { data: new Int32Array(1500).fill(7), shape: [1, 1500] } }
const ids = (): { inputIds: { data: Int32Array<ArrayBuffer>; shape: number[] } } => ({
  inputIds: { data: Int32Array.from([5, 6, 1]), shape: [1, 3] },
})

/** Moves the array's memory to another owner, who writes to it. */
function steal({ buffer }: ArrayBufferView): void {
  if (!(buffer instanceof ArrayBuffer)) return void new Uint8Array(buffer).fill(1)
  const stolen = structuredClone(buffer, { transfer: [buffer] })
  new Uint8Array(stolen).fill(1)
}

/** Of a language later than the one the tests are typed in. */
const resizable = (bytes: number): ArrayBuffer =>
  Reflect.construct(ArrayBuffer, [bytes, { maxByteLength: 2 * bytes }]) as ArrayBuffer

/** A compensation whose arrays lie in buffers that `make` gives. */
function compensation(make: (bytes: number) => ArrayBufferLike = (bytes) => new ArrayBuffer(bytes)) {
  const factor = (sign: number): Float32Array =>
    new Float32Array(make(4 * 8 * WIDTH)).map((_, i) => (sign * (i % 7)) / 16)
  return { rank: 8, down: factor(1), up: factor(-1) }
}

describe('arrays of a caller that are moved away during a call', () => {
  it('of a compensation: the plan that is loaded has the numbers it had', async () => {
    const make = (): Plan => new Plan(Plan.dense(6).table, { compensation: compensation() })
    const expected = (await (await load(make())).encode(ids())).embeddings
    const encoder = await load()
    const before = encoder.encode(long)
    const plan = make()
    const set = encoder.setPlan(plan)
    await new Promise((resolve) => setImmediate(resolve)) // it waits in the engine's queue
    steal(plan.compensation!.down)
    steal(plan.compensation!.up)
    await set
    expect((await encoder.encode(ids())).embeddings).toEqual(expected)
    await before
  })

  it.each<[string, (n: number) => EncoderInput & object]>([
    ['ids', () => ids()],
    [
      'ids in memory that threads share',
      () => {
        const data = new Int32Array(new SharedArrayBuffer(12))
        data.set([5, 6, 1])
        return { inputIds: { data, shape: [1, 3] } }
      },
    ],
    [
      'ids in a buffer that shrinks',
      () => {
        const data = new Int32Array(resizable(12))
        data.set([5, 6, 1])
        return { inputIds: { data, shape: [1, 3] } }
      },
    ],
    ['ids with a mask', () => ({ ...ids(), attentionMask: Int32Array.from([1, 1, 0]) })],
    [
      'embeds',
      () => ({ inputsEmbeds: { data: new Float32Array(3 * WIDTH).fill(0.5), shape: [1, 3, WIDTH] } }),
    ],
  ])('%s: the result is that of the numbers given', async (_, make) => {
    const encoder = await load()
    const { embeddings: expected } = await encoder.encode(make(0))
    const before = encoder.encode(long)
    const input = make(0) as Record<string, { data: ArrayBufferView } | ArrayBufferView>
    const call = encoder.encode(input as never)
    for (const each of Object.values(input)) steal('data' in each ? each.data : each)
    expect((await call).embeddings).toEqual(expected)
    await before
  })

  it('of more embeddings than are copied at once: an error of ours', async () => {
    const encoder = await load()
    const rows = 70_000
    const data = new Float32Array(rows * WIDTH).fill(0.5)
    const call = encoder.encode({ inputsEmbeds: { data, shape: [rows, 1, WIDTH] } })
    const failed = rejection(call)
    steal(data)
    const error = await failed
    expect(error).toBeInstanceOf(InputError)
    expect(error.message).toMatch(/inputsEmbeds/)
  })

  it('of a projection: the search measures under the one given', async () => {
    const encoder = await load()
    const layer = () => ({
      weight: new Float32Array(4 * WIDTH).map((_, i) => Math.sin(i)),
      bias: new Float32Array(4),
      rows: 4,
      columns: WIDTH,
    })
    const calibration = {
      inputIds: { data: Int32Array.from({ length: 48 }, (_, i) => i + 2), shape: [12, 4] },
    }
    const search = (projection: ReturnType<typeof layer>) =>
      selectPlan(encoder, calibration, {
        target: { skipCount: 2 },
        method: 'finercut',
        null: ids(),
        projection: [projection],
        compensate: 2,
        chunkTokens: 4,
      })
    const expected = await search(layer())
    const given = layer()
    const running = search(given)
    steal(given.weight)
    steal(given.bias)
    const { plan, D } = await running
    expect(plan.equals(expected.plan)).toBe(true)
    expect(D).toEqual(expected.D)
  })
})

describe('arrays that were moved away before the call', () => {
  it('of a plan are an error of ours wherever they are used', async () => {
    const encoder = await load()
    const plan = new Plan(Plan.dense(6).table, { compensation: compensation() })
    steal(plan.compensation!.up)
    const refused = /compensation\.up: found 0 numbers, expected the 512 it had.*transferred/
    for (const use of [
      () => encoder.setPlan(plan),
      () => Encoder.load(golden('t5-tiny-v11'), { plan }),
      async () => await Promise.resolve(plan.stringify()),
      async () => await Promise.resolve(plan.with({ fingerprint: undefined })),
    ]) {
      const error = await rejection((async () => await use())())
      expect(error).toBeInstanceOf(PlanError)
      expect(error.message).toMatch(refused)
    }
    expect((await encoder.encode(ids())).embeddings).toEqual((await (await load()).encode(ids())).embeddings)
  })

  it('of ids are an error of ours', async () => {
    const encoder = await load()
    const input = ids()
    steal(input.inputIds.data)
    const error = await rejection(encoder.encode(input))
    expect(error).toBeInstanceOf(InputError)
    expect(error.message).toContain('inputIds: found 0 numbers in shape [1, 3], expected 3')
  })

  it('a compensation may lie in memory that threads share, or in a buffer that grows', () => {
    const plain = new Plan(Plan.dense(6).table, { compensation: compensation() })
    for (const make of [(bytes: number) => new SharedArrayBuffer(bytes), resizable]) {
      expect(new Plan(Plan.dense(6).table, { compensation: compensation(make) }).equals(plain)).toBe(true)
    }
  })
})

describe('the arrays of a batch', () => {
  const batch = (): NativeBatch => ({
    starts: Int32Array.from([0, 3]),
    indices: Int32Array.from([0, 1, 2]),
    visible: Uint8Array.from([1, 1, 1]),
    ids: Int32Array.from([5, 6, 1]),
  })

  const outputTo = (data: Float32Array): NativeOutput => ({
    ...{ data, type: 'f32', rows: Int32Array.from([0, 1, 2]), after: 12, norm: true, projected: false },
    ...{ stride: WIDTH, first: 0, step: 1 },
  })

  async function encodeIn(
    encoder: Encoder,
    given: NativeBatch,
    changed: Partial<NativeOutput> = {},
  ): Promise<{ job: Promise<void>; out: Float32Array; rows: Int32Array }> {
    const { native: engine } = encoder.engine
    const loaded = await encoder.engine.loadPlan(Plan.dense(6), [])
    const out = new Float32Array(3 * WIDTH)
    const output = { ...outputTo(out), ...changed }
    return { job: start(engine, given, loaded.native, output), out, rows: output.rows }
  }
  const start = (
    engine: NativeEncoder,
    given: NativeBatch,
    plan: NativeLoadedPlan,
    output: NativeOutput,
  ): Promise<void> => engine.encode(given, plan, [output], new (native().CancelToken)())

  it.each(['starts', 'indices', 'visible', 'ids', 'rows'] as const)('%s are copied', async (name) => {
    const encoder = await load()
    const { embeddings: expected } = await encoder.encode(ids())
    const given = batch()
    const before = encoder.encode(long)
    const { job, out, rows } = await encodeIn(encoder, given)
    steal(name === 'rows' ? rows : given[name]!)
    await job
    expect(out).toEqual(expected)
    await before
  })

  it.each<[string, Partial<NativeBatch>]>([
    ['no sequence', { starts: Int32Array.of() }],
    ['a sequence without tokens', { starts: Int32Array.from([0, 3, 3]) }],
    ['more tokens than there are', { starts: Int32Array.from([0, 9]) }],
    ['sequences before the first token', { starts: Int32Array.from([-9, 3]) }],
    ['a negative position', { indices: Int32Array.from([0, -1, 2]) }],
    ['a position without end', { indices: Int32Array.from([0, 1, 2 ** 30]) }],
    ['fewer marks than tokens', { visible: Uint8Array.of(1) }],
    ['no ids', { ids: undefined }],
  ])('with %s are refused', async (_, changed) => {
    const encoder = await load()
    await expect(encodeIn(encoder, { ...batch(), ...changed })).rejects.toThrow(/expected/)
  })

  it.each<[string, Partial<NativeOutput>]>([
    ['a row past the result', { rows: Int32Array.from([0, 1, 3]) }],
    ['a row before it', { rows: Int32Array.from([0, 1, -2]) }],
    ['fewer rows than tokens', { rows: Int32Array.from([0, 1]) }],
    ['a state after more than there is', { after: 13 }],
    ['a state after a part', { after: 0.5 }],
    ['a row longer than the stride', { first: 1 }],
    ['a stride without end', { stride: 2 ** 40 }],
    ['steps past the row', { step: 2 }],
    ['a projection there is none of', { projected: true }],
    ['an array of another type', { type: 'bf16' }],
  ])('results with %s are refused', async (_, changed) => {
    const encoder = await load()
    await expect(encodeIn(encoder, batch(), changed)).rejects.toThrow(/expected|rows|stride|projection/)
  })
})
