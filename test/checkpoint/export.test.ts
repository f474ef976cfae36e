import { cp, mkdir, open, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { exportCheckpoint } from '../../src/export/checkpoint.js'
import { Plan } from '../../src/plan/plan.js'
import { floatToF8, toFloat32 } from '../../src/model/half.js'
import { openCheckpoint } from '../../src/checkpoint/open.js'
import { floatsOf, readTensors } from '../../src/checkpoint/tensor-file.js'
import type { Checkpoint, TensorRef } from '../../src/checkpoint/types.js'
import { writeFolderAtomically } from '../../src/io/atomic.js'
import { writeSafetensors, type TensorSource } from '../../src/export/write.js'
import { CheckpointError, OutputError, PlanError } from '../../src/errors.js'
import { subBlockCount } from '../../src/model/architecture.js'
import { DATA, GOLDEN, namedTensors, ownNames, rejection, temporaryFolder } from './helpers.js'

const V11 = join(GOLDEN, 't5-tiny-v11')
const identity = ({ architecture }: Checkpoint): number[] =>
  Array.from({ length: subBlockCount(architecture) }, (_, i) => i)
const bytesOf = async ({ file, offset, bytes }: TensorRef): Promise<Buffer> =>
  (await readFile(file)).subarray(offset, offset + bytes)
const sameBytes = async (a: TensorRef, b: TensorRef): Promise<boolean> =>
  (await bytesOf(a)).equals(await bytesOf(b))
const valuesOf = async (ref: TensorRef): Promise<Float32Array> =>
  toFloat32(ref.encoding, await bytesOf(ref)).map((x) => x * (ref.scale ?? 1))

/** Exports, opens what came out, and hands both over. */
async function exported(
  path: string,
  change: (table: (number | null)[]) => void,
  { materialize = false, scales }: { materialize?: boolean; scales?: Record<number, number> } = {},
) {
  const before = await openCheckpoint(path)
  const table: (number | null)[] = identity(before)
  change(table)
  const out = join(await temporaryFolder(), 'out')
  const plan = new Plan(table, { scales: scales && table.map((_, p) => scales[p] ?? 1) })
  const written = await exportCheckpoint(before, plan, out, { materialize })
  const after = await openCheckpoint(out)
  const names = (subBlock: number) => ownNames(before.architecture, subBlock)
  const tensors = { before: namedTensors(before), after: namedTensors(after) }
  return { before, after, tensors, out, plan, written, names }
}

describe('an export with its plan beside it', () => {
  it('holds the sub-blocks that run, byte for byte, and nothing of the others', async () => {
    const { before, after, out, plan, written, names, tensors } = await exported(V11, (table) => {
      table[2] = null
      table[5] = 7
      table[0] = null
    })
    expect(after.architecture).toEqual(before.architecture)
    expect(after.planPath).toBe(join(out, 'skrr-plan.json'))
    expect(await readFile(after.planPath!, 'utf8')).toBe(plan.stringify())
    const gone = [0, 2, 5].flatMap(names)
    expect([...tensors.after.keys()].sort()).toEqual(
      [...tensors.before.keys()].filter((name) => !gone.includes(name)).sort(),
    )
    for (const [name, ref] of tensors.after)
      expect(await sameBytes(ref, tensors.before.get(name)!)).toBe(true)
    expect(tensors.after.has('encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight')).toBe(
      true,
    )
    const bytes = [...tensors.after.values()].reduce((sum, t) => sum + t.bytes, 0)
    expect(written).toBe(bytes)
    expect((await stat(join(out, 'model.safetensors'))).size).toBeLessThan(bytes + 10000)
  })
  it('keeps the element type and names it in config.json', async () => {
    const { out, tensors } = await exported(join(V11, 'bf16'), (table) => (table[3] = null))
    expect(tensors.after.get('shared.weight')?.encoding).toBe('BF16')
    const config = JSON.parse(await readFile(join(out, 'config.json'), 'utf8')) as Record<string, unknown>
    expect(config).toMatchObject({
      model_type: 't5',
      architectures: ['T5EncoderModel'],
      torch_dtype: 'bfloat16',
    })
  })
  it('brings the tokenizer along, and nothing else that lies there', async () => {
    const folder = await temporaryFolder()
    await cp(V11, folder, { recursive: true })
    await cp(join(DATA, 'tokenizers/t5'), folder, { recursive: true })
    const { after, out } = await exported(folder, () => undefined)
    expect(after.tokenizerPath).toBe(join(out, 'tokenizer.json'))
    expect(await readdir(out)).toEqual([
      'config.json',
      'model.safetensors',
      'skrr-plan.json',
      'special_tokens_map.json',
      'spiece.model',
      'tokenizer.json',
      'tokenizer_config.json',
    ])
  })
  it('can be exported again as far as its weights go', async () => {
    const { after, out } = await exported(V11, (table) => (table[5] = null))
    const table: (number | null)[] = identity(after)
    const again = join(out, '../again')
    const error = await rejection(exportCheckpoint(after, new Plan(table), again))
    expect(error).toBeInstanceOf(PlanError)
    expect(error.message).toContain(`${out}: sub-block 5: found no weights`)
    table[5] = 7
    await exportCheckpoint(after, new Plan(table), again, { materialize: true })
    expect(namedTensors(await openCheckpoint(again)).size).toBe(57)
  })
})

describe('a materialised export is an ordinary checkpoint', () => {
  it('the identity is the original, bit for bit', async () => {
    for (const name of ['t5-tiny-v10', 't5-odd/bf16', 'umt5-tiny']) {
      const { after, tensors } = await exported(join(GOLDEN, name), () => undefined, {
        materialize: true,
      })
      expect(after.planPath).toBeUndefined()
      expect([...tensors.after.keys()]).toEqual([...tensors.before.keys()])
      for (const [key, ref] of tensors.after)
        expect(await sameBytes(ref, tensors.before.get(key)!)).toBe(true)
    }
  })
  it('a skipped position has a zero output matrix and its own other weights', async () => {
    const { names, tensors } = await exported(V11, (table) => (table[4] = table[7] = null), {
      materialize: true,
    })
    for (const name of [...names(4), ...names(7)]) {
      const values = await valuesOf(tensors.after.get(name)!)
      if (/\.w?o\.weight$/.test(name)) expect(values.every((x) => Object.is(x, 0))).toBe(true)
      else expect(values).toEqual(await valuesOf(tensors.before.get(name)!))
    }
  })
  it('a skipped position whose weights are gone has norms of one and zeros', async () => {
    const sparse = await exported(V11, (table) => (table[4] = null))
    const { names, tensors } = await exported(sparse.out, (table) => (table[4] = null), {
      materialize: true,
    })
    for (const name of names(4)) {
      const wanted = name.includes('norm') ? 1 : 0
      expect((await valuesOf(tensors.after.get(name)!)).every((x) => x === wanted)).toBe(true)
    }
  })
  it('a re-used sub-block is a copy; UMT5’s bias goes along, T5’s stays', async () => {
    for (const name of ['t5-odd', 'umt5-tiny']) {
      const { names, tensors } = await exported(
        join(GOLDEN, name),
        (table) => {
          table[0] = 4
          table[3] = 1
        },
        { materialize: true },
      )
      for (const [to, from] of [
        [0, 4],
        [3, 1],
        [4, 4],
      ] as const) {
        for (const [i, key] of names(to).entries()) {
          expect(await sameBytes(tensors.after.get(key)!, tensors.before.get(names(from)[i]!)!)).toBe(true)
        }
      }
    }
  })
  it('a residual scale is in the output matrix: exact for powers of two, else rounded', async () => {
    for (const path of [V11, join(V11, 'bf16')]) {
      const scales = { 2: 0.5, 5: 0.3, 6: 0, 7: -2 }
      const { names, tensors } = await exported(path, (table) => (table[5] = 7), {
        materialize: true,
        scales,
      })
      for (const [position, factor] of Object.entries(scales)) {
        const from = position === '5' ? 7 : Number(position)
        const [to, source] = [names(Number(position)).at(-1)!, names(from).at(-1)!]
        const got = await valuesOf(tensors.after.get(to)!)
        const plain = await valuesOf(tensors.before.get(source)!)
        const relative = factor === 0.3 ? (path === V11 ? 2 ** -24 : 2 ** -8) : 0
        got.forEach((x, i) =>
          expect(Math.abs(x - plain[i]! * factor)).toBeLessThanOrEqual(relative * Math.abs(x) * 1.01),
        )
      }
    }
  })
  it('fp8 becomes bf16, or float32 where a factor needs the digits', async () => {
    const folder = await temporaryFolder()
    const tensors: TensorSource[] = []
    for (const [name, tensor] of await readTensors(join(V11, 'model.safetensors'))) {
      const data = Uint8Array.from(floatsOf(tensor)!, floatToF8)
      tensors.push({ name, dtype: 'F8_E4M3', shape: tensor.shape, data })
    }
    const factor = (block: number, value: number): TensorSource => ({
      name: `encoder.block.${block}.layer.0.SelfAttention.q.scale_weight`,
      dtype: 'F32',
      shape: [],
      data: new Uint8Array(Float32Array.of(value).buffer),
    })
    await cp(join(V11, 'config.json'), join(folder, 'config.json'))
    await writeSafetensors(join(folder, 'model.safetensors'), [...tensors, factor(0, 0.5), factor(1, 0.7)])
    for (const materialize of [false, true]) {
      const { tensors: named } = await exported(folder, () => undefined, { materialize })
      for (const [name, ref] of named.before) {
        const copy = named.after.get(name)!
        expect(await valuesOf(copy)).toEqual(await valuesOf(ref))
        const ordinary = ref.scale === undefined || ref.scale === 0.5 ? 'BF16' : 'F32'
        expect(copy.encoding).toBe(materialize ? ordinary : 'F8_E4M3')
        if (materialize) expect(copy).not.toHaveProperty('scale')
      }
    }
  })
})

describe('an export that fails leaves nothing behind', () => {
  it('into a folder that is not empty, or a file', async () => {
    const checkpoint = await openCheckpoint(V11)
    const folder = await temporaryFolder()
    await writeFile(join(folder, 'mine'), 'x')
    const attempt = (out: string) =>
      rejection(exportCheckpoint(checkpoint, new Plan(identity(checkpoint)), out))
    const error = await attempt(folder)
    expect(error).toBeInstanceOf(OutputError)
    expect(error.message).toContain('found a folder with 1 entries, expected a new or empty folder')
    expect((await attempt(join(folder, 'mine'))).message).toContain('found a file')
    expect((await attempt(join(folder, 'a/b'))).message).toContain(
      'a/b: cannot be written: there is no such file or folder',
    )
    expect(await readdir(folder)).toEqual(['mine'])
  })
  it('into a folder that another one has filled meanwhile, which stays', async () => {
    const folder = join(await temporaryFolder(), 'out')
    const first = writeFolderAtomically(folder, (temporary) => writeFile(join(temporary, 'first'), ''))
    const second = writeFolderAtomically(folder, async (temporary) => {
      await writeFile(join(temporary, 'second'), '')
      await first
    })
    await expect(second).rejects.toThrow(
      `${folder}: found a folder with 1 entries, expected a new or empty folder. Nothing was written.`,
    )
    expect(await readdir(folder)).toEqual(['first'])
    expect(await readdir(dirname(folder))).toEqual(['out'])
  })

  it('but an empty folder is used', async () => {
    const checkpoint = await openCheckpoint(V11)
    const out = join(await temporaryFolder(), 'out')
    await mkdir(out)
    await exportCheckpoint(checkpoint, new Plan(identity(checkpoint)), out)
    expect(await readdir(out)).toContain('model.safetensors')
  })
  it('when aborted, when a scale overflows, when the source shrank', async () => {
    const folder = await temporaryFolder()
    const source = join(folder, 'source')
    await cp(V11, source, { recursive: true })
    const checkpoint = await openCheckpoint(source)
    const attempt = (scale: number, signal?: AbortSignal, onProgress?: () => void) =>
      rejection(
        exportCheckpoint(
          checkpoint,
          new Plan(identity(checkpoint), { scales: identity(checkpoint).map(() => scale) }),
          join(folder, 'out'),
          { materialize: true, signal, onProgress },
        ),
      )
    const abort = new AbortController()
    expect((await attempt(1, abort.signal, () => abort.abort())).name).toBe('AbortError')
    const large = checkpoint.subBlocks[0]!.o!
    const handle = await open(large.file, 'r+')
    await handle.write(Float32Array.of(1e3), 0, 4, large.offset)
    await handle.close()
    const overflow = await attempt(1e37)
    expect(overflow).toBeInstanceOf(CheckpointError)
    expect(overflow.message).toContain('times 1e+37 does not fit in F32')
    await writeFile(join(source, 'model.safetensors'), 'short')
    expect((await attempt(1)).message).toContain('The file is truncated, or it changed while it was read')
    expect(await readdir(folder)).toEqual(['source'])
  })
  it('for a plan that is not one of this model', async () => {
    const error = await rejection(exportCheckpoint(await openCheckpoint(V11), Plan.dense(1), '/nowhere'))
    expect(error).toBeInstanceOf(PlanError)
    expect(error.message).toContain('table: found 2 entries, expected 12')
  })
})
