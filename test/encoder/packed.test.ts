import { JsonBudget } from '../../src/checkpoint/budget.js'
import { blocksOf } from '../../src/model/parameters.js'
import { cp, mkdir, readdir, readFile, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { readHeader } from '../../src/checkpoint/safetensors.js'
import { PACKED_LAYOUT } from '../../src/checkpoint/packed.js'
import {
  CheckpointError,
  exportPacked,
  openCheckpoint,
  Plan,
  Encoder,
  type PackedExportOptions,
  type Precision,
} from '../../src/index.js'
import { native } from '../../src/native/addon.js'
import { PRECISIONS } from '../../src/model/precision.js'
import { namedTensors, rejection, temporaryFolder } from '../checkpoint/helpers.js'
import { golden, goldenCases } from '../golden.js'

const budget = JsonBudget.atMost(1e9)

// `skrr export --precision` writes the weights as an encoder holds them, to be mapped and used in place.

const MODELS = ['t5-tiny-v10', 't5-tiny-v11', 't5-odd', 'umt5-tiny']
const V11 = golden('t5-tiny-v11')
const inputs = new Map(
  await Promise.all(
    MODELS.map(async (model) => [model, (await goldenCases(model)).map(({ input }) => input)] as const),
  ),
)
const input = inputs.get('t5-tiny-v11')![0]!

async function exported(
  model: string,
  options: PackedExportOptions,
  plan?: Plan,
): Promise<{ out: string; bytes: number; file: string }> {
  const out = join(await temporaryFolder(), 'out')
  const checkpoint = await openCheckpoint(model)
  const bytes = await exportPacked(
    checkpoint,
    plan ?? Plan.dense(blocksOf(checkpoint.architecture)),
    out,
    options,
  )
  return { out, bytes, file: join(out, 'model.safetensors') }
}

async function load(path: string, options = {}): Promise<Encoder> {
  const encoder = await Encoder.load(path, options)
  onTestFinished(async () => {
    await encoder.dispose()
  })
  return encoder
}

describe.each(MODELS)('%s', (model) => {
  // the token embedding is bf16 in the file, as in the checkpoint
  it.each(PRECISIONS)('in %s gives what the checkpoint gives in it, bit for bit', async (precision) => {
    const { out } = await exported(golden(model, 'bf16'), { precision })
    const direct = await load(golden(model, 'bf16'), { precision })
    const mapped = await load(out)
    expect(mapped.precision).toBe(precision)
    expect(mapped.memory.weights).toBe(direct.memory.weights)
    expect((await Encoder.estimate(out)).weights).toBe(mapped.memory.weights)
    for (const each of inputs.get(model)!) {
      const [a, b] = await Promise.all([mapped.encode(each), direct.encode(each)])
      expect(a.embeddings).toEqual(b.embeddings)
    }
  })
})

describe('an exported file', () => {
  it('holds the sub-blocks of its plan, each in the precision the plan names, and the plan', async () => {
    const precisions = Plan.dense(6).table.map((s) =>
      s === 3 ? 'int4' : s === 4 ? 'f32' : s === 6 ? 'bf16' : null,
    )
    const plan = new Plan([0, 1, null, 3, 4, 5, 6, 5, 8, 9, 10, null], { precisions })
    const { out, bytes, file } = await exported(join(V11, 'bf16'), { precision: 'int8' }, plan)
    const checkpoint = await openCheckpoint(out)
    expect([...checkpoint.packed].map(([s, { precision }]) => [s, precision])).toEqual(
      [0, 1, 3, 5, 8, 9, 10].map((s) => [s, s === 3 ? 'int4' : 'int8']),
    )
    const mapped = await load(out)
    const direct = await load(join(V11, 'bf16'), { precision: 'int8', plan })
    expect(mapped.plan.equals(plan)).toBe(true)
    expect(mapped.memory.weights).toBe(direct.memory.weights)
    expect((await mapped.encode(input)).embeddings).toEqual((await direct.encode(input)).embeddings)
    const { tensors } = await readHeader(file, budget)
    expect([...tensors.values()].reduce((sum, tensor) => sum + tensor.bytes, 0)).toBe(bytes)
  })

  it('has its matrices at multiples of 64 bytes, and says what it is', async () => {
    const { file } = await exported(golden('t5-odd'), { precision: 'int4' })
    const { tensors, metadata } = await readHeader(file, budget)
    const matrices = [...tensors.values()].filter(({ dtype }) => dtype === 'U8')
    expect(matrices).toHaveLength(16)
    for (const { offset } of matrices) expect(offset % 64).toBe(0)
    expect(Object.fromEntries(metadata)).toMatchObject({
      format: 'skrr',
      skrr_layout: String(native().describe().packedLayout),
      skrr_precision: 'int4',
      skrr_model: 't5-4x96-h5x24-ff200-gated-gelu_tanh',
    })
    expect(metadata.get('skrr_original')).toMatch(/^t5-4x96-\S+ [0-9a-f]{16}$/)
    expect(native().describe().packedLayout).toBe(PACKED_LAYOUT)
  })

  it('runs under other plans of its sub-blocks, switched and released as ever', async () => {
    const { out } = await exported(V11, { precision: 'int8' })
    const encoder = await load(out)
    const whole = encoder.memory.weights
    const dense = await encoder.encode(input)
    await encoder.setPlan(Plan.skip(6, [4, 7]), { release: true })
    expect(encoder.memory.weights).toBeLessThan(whole)
    expect((await encoder.encode(input)).embeddings).not.toEqual(dense.embeddings)
    await encoder.setPlan('dense')
    expect((await encoder.encode(input)).embeddings).toEqual(dense.embeddings)
  })
})

describe('an exported file that cannot be used as asked', () => {
  /** Changes the header's text in place. */
  async function changed(from: string, to: string): Promise<string> {
    const { out, file } = await exported(V11, { precision: 'int8' })
    const bytes = await readFile(file)
    const at = bytes.indexOf(from)
    expect(at).toBeGreaterThan(0)
    expect(to).toHaveLength(from.length)
    bytes.write(to, at)
    await writeFile(file, bytes)
    return out
  }

  it.each([
    [
      'another version of the layout',
      '"skrr_layout":"1"',
      '"skrr_layout":"9"',
      '__metadata__.skrr_layout: found "9", expected "1"',
    ],
    ['another model', '"skrr_model":"t5-6', '"skrr_model":"t5-7', '__metadata__.skrr_model: found "t5-7'],
    [
      'no layout at all',
      '"skrr_layout"',
      '"skip_layout"',
      '__metadata__.skrr_layout: found nothing, expected "1"',
    ],
    [
      'an unknown precision',
      '"skrr_precision":"int8"',
      '"skrr_precision":"int9"',
      'found "int9", expected one of f32',
    ],
    [
      'a matrix of another shape',
      '"shape":[6,2048]',
      '"shape":[3,4096]',
      'found shape [3, 4096], expected shape [6, 2048]',
    ],
    [
      'bytes where scales should be',
      'qkv.int8_scales',
      'qkv.int8_scalez',
      'qkv.int8_scales: found no such tensor',
    ],
  ])('%s is refused', async (_, from, to, message) => {
    const error = await rejection(Encoder.load(await changed(from, to)))
    expect(error).toBeInstanceOf(CheckpointError)
    expect(error.message).toContain(message)
  })

  it('a truncated one is refused; one that shrinks while it is used is an error, not the end of the process', async () => {
    const { out, file } = await exported(V11, { precision: 'int8' })
    const encoder = await load(out)
    await truncate(file, 10_000)
    expect((await rejection(Encoder.load(out))).message).toContain('truncated')
    expect(await rejection(encoder.encode(input))).toMatchObject({ code: 'ERR_CHECKPOINT' })
  })

  it('scales that are no numbers are refused', async () => {
    const { out, file } = await exported(V11, { precision: 'int8' })
    const { tensors } = await readHeader(file, budget)
    const bytes = await readFile(file)
    const scales = [...tensors.values()].find(({ name }) => name.endsWith('wo.int8_scales'))!
    bytes.writeFloatLE(NaN, scales.offset)
    await writeFile(file, bytes)
    const { message } = await rejection(Encoder.load(out))
    for (const part of [file, scales.name, 'a scale that is NaN or infinite']) expect(message).toContain(part)
  })

  it('another precision, or another device, is refused with what it has', async () => {
    const { out } = await exported(V11, { precision: 'int8' })
    const message = async (options: object) => (await rejection(Encoder.load(out, options))).message
    expect(await message({ precision: 'bf16' })).toContain('precision: found "bf16", expected int8')
    expect(await message({ device: 'cuda' })).toContain('device: found "cuda", expected cpu')
    const precisions = Plan.dense(6).table.map((s) => (s === 3 ? ('f32' satisfies Precision) : null))
    const plan = new Plan(Plan.dense(6).table, { precisions })
    expect(await message({ plan })).toContain('precisions[3]: found "f32", expected int8 or null')
    const checkpoint = await openCheckpoint(out)
    const again = exportPacked(checkpoint, Plan.dense(6), join(out, '../again'), { precision: 'int4' })
    expect((await rejection(again)).message).toContain(
      'found weights packed in int8, expected the checkpoint',
    )
  })
})

describe('an export that fails leaves nothing behind', () => {
  it('when aborted, when a weight is not a number, when there is no room for it', async () => {
    const parent = await temporaryFolder()
    const source = join(parent, 'source')
    await cp(V11, source, { recursive: true })
    const checkpoint = await openCheckpoint(source)
    const attempt = (options: Partial<PackedExportOptions>, out = join(parent, 'out')) =>
      rejection(exportPacked(checkpoint, Plan.dense(6), out, { precision: 'int8', ...options }))
    const abort = new AbortController()
    expect((await attempt({ signal: abort.signal, onProgress: () => abort.abort() })).name).toBe('AbortError')
    await mkdir(join(parent, 'full'))
    await writeFile(join(parent, 'full/mine'), 'x')
    expect(await attempt({}, join(parent, 'full'))).toMatchObject({ code: 'ERR_OUTPUT' })
    const { file, offset } = namedTensors(checkpoint).get('encoder.block.2.layer.0.SelfAttention.q.weight')!
    const bytes = await readFile(file)
    bytes.writeFloatLE(NaN, offset)
    await writeFile(file, bytes)
    expect((await attempt({})).message).toContain('NaN or infinite')
    expect((await readdir(parent)).sort()).toEqual(['full', 'source'])
  })
})
