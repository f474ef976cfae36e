import { cp, mkdir, rename, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { CheckpointError, Encoder, type LoadOptions } from '../../src/index.js'
import { rawTensors, rejection, temporaryFolder, writeRaw, type RawTensor } from '../checkpoint/helpers.js'
import { golden, goldenCases } from '../golden.js'
import { relativeError, TOLERANCE } from '../tolerance.js'

// Checkpoints as download tools and third parties leave them give the embeddings of the golden model they hold.

const MODEL = golden('t5-tiny-v10')
const [{ input, expected }] = (await goldenCases('t5-tiny-v10')) as [
  Awaited<ReturnType<typeof goldenCases>>[0],
]
const tensors = await rawTensors(join(MODEL, 'model.safetensors'))

async function expectGolden(path: string, options: LoadOptions = {}): Promise<void> {
  await using encoder = await Encoder.load(path, { precision: 'f32', device: 'cpu', ...options })
  const { embeddings } = await encoder.encode(input)
  expect(relativeError(embeddings, expected)).toBeLessThan(TOLERANCE.f32)
}

const small = (name: string, dtype: string, bytes: number, shape = [bytes]): RawTensor => ({
  name,
  dtype,
  shape,
  data: new Uint8Array(bytes),
})

describe('a file loads whatever lies in it beside the encoder', () => {
  const file = async (list: readonly RawTensor[], rest: { metadata?: unknown; trailing?: number } = {}) =>
    writeRaw(join(await temporaryFolder(), 'm.safetensors'), list, rest)

  it.each([1, 4, 4096])('%i bytes after the last tensor', async (trailing) => {
    await expectGolden(await file(tensors, { trailing }))
  })
  it.each([[{ epoch: 3 }], [{ format: 'pt', notes: { a: [1] }, none: null }], [[1, 2]], [7], ['text']])(
    'metadata %j',
    async (metadata) => expectGolden(await file(tensors, { metadata })),
  )
  it.each([1, 2, 3, 5])('tensors %i bytes off their alignment', async (bytes) => {
    await expectGolden(await file([small('note', 'U8', bytes), ...tensors]))
  })
  it.each(['F8_E8M0', 'F4', 'F6_E2M3', 'C64', 'TYPE_OF_2030', '', '__proto__'])(
    'a tensor of type %j of another model',
    async (dtype) => {
      const prefixed = tensors.map((t) => ({ ...t, name: `text_encoders.t5xxl.transformer.${t.name}` }))
      const other = small('model.diffusion_model.blocks.0.weight_scale', dtype, 4)
      await expectGolden(await file([other, ...prefixed]))
    },
  )
  it('a tensor of another model whose bytes do not fit its shape', async () => {
    await expectGolden(await file([...tensors, small('model.diffusion_model.x', 'F32', 4, [9])]))
  })
  it('but an encoder tensor of an unknown type is refused by name', async () => {
    const [first, ...rest] = tensors
    const error = await rejection(Encoder.load(await file([{ ...first!, dtype: 'F4' }, ...rest])))
    expect(error).toBeInstanceOf(CheckpointError)
    expect(error.message).toContain(`${first!.name}: found F4, expected one of F32`)
  })
})

describe('a folder loads as its tools leave it', () => {
  /** models--X--Y/ with its snapshot as links to blobs. */
  async function cached({ ref = 'abc123', snapshots = ['abc123'] } = {}): Promise<string> {
    const model = join(await temporaryFolder(), 'models--someone--t5-tiny')
    for (const name of ['blobs', 'refs']) await mkdir(join(model, name), { recursive: true })
    for (const name of ['config.json', 'model.safetensors']) {
      await cp(join(MODEL, name), join(model, 'blobs', `blob-${name}`))
      for (const snapshot of snapshots) {
        await mkdir(join(model, 'snapshots', snapshot), { recursive: true })
        await symlink(`../../blobs/blob-${name}`, join(model, 'snapshots', snapshot, name))
      }
    }
    if (ref !== '') await writeFile(join(model, 'refs/main'), ref)
    return model
  }
  const message = async (path: string): Promise<string> => {
    const error = await rejection(Encoder.load(path))
    expect(error).toBeInstanceOf(CheckpointError)
    return error.message
  }

  it("Hugging Face's cache: the snapshot that refs/main names", async () => {
    await expectGolden(await cached())
    await expectGolden(await cached({ ref: 'abc123\n', snapshots: ['abc123', 'def456'] }))
    await expectGolden(await cached({ ref: '' }))
  })
  it("Hugging Face's cache: a reference that leads nowhere, or out of it", async () => {
    expect(await message(await cached({ ref: '../../..' }))).toContain('refs/main: found "../../.."')
    expect(await message(await cached({ ref: 'gone' }))).toContain(
      'found "gone", expected one of the snapshots',
    )
    expect(await message(await cached({ ref: '', snapshots: ['a', 'b'] }))).toContain('the snapshots a, b')
    expect(await message(join(await cached(), '..'))).toContain(
      'name a model in it: models--someone--t5-tiny',
    )
  })
  it.each([undefined, 'text_encoder_2'])(
    'a pipeline with a config.json of its own: %s',
    async (textEncoder) => {
      const folder = await temporaryFolder()
      await cp(MODEL, join(folder, 'text_encoder_2'), { recursive: true })
      await writeFile(join(folder, 'model_index.json'), '{"_class_name": "FluxPipeline"}')
      await writeFile(join(folder, 'config.json'), '{"model_type": "flux"}')
      await expectGolden(folder, { textEncoder })
    },
  )
  it('a pipeline whose other encoder has a damaged config', async () => {
    const folder = await temporaryFolder()
    await cp(MODEL, join(folder, 'text_encoder_2'), { recursive: true })
    await mkdir(join(folder, 'text_encoder'))
    await writeFile(join(folder, 'text_encoder/config.json'), '{')
    await expectGolden(folder)
  })

  /** The golden model in two shards, each named by `shard(1)` and `shard(2)`. */
  async function sharded(index: string, shard: (n: number) => string): Promise<string> {
    const folder = await temporaryFolder()
    await cp(join(MODEL, 'config.json'), join(folder, 'config.json'))
    const weightMap: Record<string, string> = {}
    for (const n of [1, 2]) {
      const part = tensors.filter((_, i) => i % 2 === n - 1)
      await mkdir(join(folder, shard(n), '..'), { recursive: true })
      await writeRaw(join(folder, shard(n)), part)
      for (const { name } of part) weightMap[name] = shard(n)
    }
    await writeFile(join(folder, index), JSON.stringify({ weight_map: weightMap }))
    return folder
  }
  const INDEX = 'model.safetensors.index.json'
  const plain = (n: number): string => `model-0000${n}-of-00002.safetensors`
  const fp16 = (n: number): string => `model.fp16-0000${n}-of-00002.safetensors`

  it.each(['weights', 'a/b'])('shards in %s below the index', async (below) => {
    await expectGolden(await sharded(INDEX, (n) => `${below}/${plain(n)}`))
  })
  it.each(['a/../../x', 'a//b', 'a/.hidden', '/a', 'a/', 'a/./b', 'a\\b'])('but not %j', async (path) => {
    const folder = await sharded(INDEX, plain)
    await writeFile(join(folder, INDEX), JSON.stringify({ weight_map: { 'shared.weight': path } }))
    expect(await message(folder)).toContain('expected the path of a file below the index')
  })
  it.each(['model.safetensors.index.fp16.json', 'model.fp16.safetensors.index.json'])(
    'the shards of a lone variant: %s',
    async (index) => expectGolden(await sharded(index, fp16)),
  )
  it('a lone variant whole and in shards', async () => {
    const folder = await sharded('model.safetensors.index.fp16.json', fp16)
    await cp(join(MODEL, 'model.safetensors'), join(folder, 'model.fp16.safetensors'))
    await expectGolden(folder)
  })
  it('but not several variants, nor shards without their index', async () => {
    const folder = await sharded('model.safetensors.index.fp16.json', fp16)
    await writeFile(join(folder, 'model.bf16.safetensors'), '')
    expect(await message(folder)).toContain(
      'found several variants (model.bf16.safetensors, model.safetensors.',
    )
    const lost = await sharded('model.safetensors.index.fp16.json', fp16)
    await rename(join(lost, 'model.safetensors.index.fp16.json'), join(lost, 'other.json'))
    expect(await message(lost)).toContain('found neither')
  })
})

it('a file sizes no table by itself: 512 buckets and more are refused where distances end at 128', async () => {
  for (const buckets of [512, 513, 1024, 2 ** 16]) {
    const file = join(await temporaryFolder(), 'm.safetensors')
    const change = tensors.map((tensor) => {
      if (!tensor.name.includes('relative_attention_bias')) return tensor
      return { ...tensor, shape: [buckets, 4], data: new Uint8Array(buckets * 16) }
    })
    await writeRaw(file, change)
    const error = await rejection(Encoder.load(file))
    expect(error).toBeInstanceOf(CheckpointError)
    expect(error.message).toContain('relative_attention_bias.weight: found')
  }
})
