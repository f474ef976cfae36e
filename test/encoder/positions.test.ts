import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readIds } from '../../src/cli/inputs.js'
import { writeSafetensors } from '../../src/export/write.js'
import { Encoder, InputError } from '../../src/index.js'
import { temporaryFolder } from '../checkpoint/helpers.js'
import { golden } from '../golden.js'
import { relativeError, TOLERANCE } from '../tolerance.js'

const ids = (...list: number[]) => ({ data: Int32Array.from(list), shape: [1, list.length] })

describe('positions that a caller gives', () => {
  let llama: Encoder
  let clip: Encoder
  let t5: Encoder
  beforeAll(async () => {
    llama = await Encoder.load(golden('llama-tiny'))
    clip = await Encoder.load(golden('clip-l-tiny'))
    t5 = await Encoder.load(golden('t5-tiny-v11'))
  })
  afterAll(() => Promise.all([llama, clip, t5].map((each) => each.dispose())))

  const inputIds = ids(5, 6, 7, 8)
  it('are the indices where none are given', async () => {
    const plain = await llama.encode({ inputIds })
    const given = await llama.encode({ inputIds, positionIds: Int32Array.of(0, 1, 2, 3) })
    expect(given.embeddings).toEqual(plain.embeddings)
  })
  it('rotate by their differences alone', async () => {
    const plain = await llama.encode({ inputIds })
    const moved = await llama.encode({ inputIds, positionIds: Int32Array.of(40, 41, 42, 43) })
    const spread = await llama.encode({ inputIds, positionIds: Int32Array.of(0, 2, 4, 6) })
    expect(relativeError(moved.embeddings, plain.embeddings)).toBeLessThan(TOLERANCE.f32)
    expect(relativeError(spread.embeddings, plain.embeddings)).toBeGreaterThan(1e-3)
  })
  it('go with their rows: in a batch with masked tokens, over several micro-batches', async () => {
    const rows = 40
    const tokens = 60
    const data = Int32Array.from({ length: rows * tokens }, (_, i) => 5 + (i % 100))
    const attentionMask = Int32Array.from(data, (_, i) => (i % tokens < 7 ? 0 : 1))
    const positionIds = Int32Array.from(data, (_, i) => Math.max(0, (i % tokens) - 7))
    const all = await llama.encode(
      { inputIds: { data, shape: [rows, tokens] }, attentionMask, positionIds },
      { masked: 'zero' },
    )
    const last = data.subarray((rows - 1) * tokens + 7)
    const alone = await llama.encode({ inputIds: { data: last, shape: [1, tokens - 7] } })
    const found = all.embeddings.subarray(-alone.embeddings.length)
    expect(relativeError(found, alone.embeddings)).toBeLessThan(TOLERANCE.f32)
  })
  it('are read when the call is made', async () => {
    const positionIds = Int32Array.of(0, 2, 4, 6)
    const once = await llama.encode({ inputIds, positionIds })
    const call = llama.encode({ inputIds, positionIds })
    positionIds.fill(9)
    expect((await call).embeddings).toEqual(once.embeddings)
  })
  it('choose rows of a table', async () => {
    const plain = await clip.encode({ inputIds: ids(5, 6) })
    const other = await clip.encode({ inputIds: ids(5, 6), positionIds: Int32Array.of(0, 76) })
    expect(other.embeddings.subarray(0, 48)).toEqual(plain.embeddings.subarray(0, 48))
    expect(other.embeddings).not.toEqual(plain.embeddings)
  })
  it.each([
    ['too few', [0, 1, 2], 'positionIds: found 3 entries, expected 4'],
    ['below 0', [0, 1, -1, 2], 'positionIds[0, 2]: found -1, expected 0 to 65535'],
    ['beyond a row', [0, 1, 2, 65536], 'positionIds[0, 3]: found 65536'],
  ])('%s', async (_, list, message) => {
    const call = llama.encode({ inputIds, positionIds: Int32Array.from(list) })
    await expect(call).rejects.toThrow(InputError)
    await expect(call).rejects.toThrow(message)
  })
  it('beyond the table, and rows longer than it', async () => {
    const far = clip.encode({ inputIds: ids(5), positionIds: Int32Array.of(77) })
    await expect(far).rejects.toThrow('positionIds[0, 0]: found 77, expected 0 to 76')
    const long = { data: new Int32Array(78).fill(5), shape: [1, 78] }
    await expect(clip.encode({ inputIds: long })).rejects.toThrow(
      'batch: found rows of 78 tokens, expected at most 77, the positions that the encoder knows',
    )
  })
  it('are refused where nothing counts them, and with a pipeline', async () => {
    const positionIds = Int32Array.of(0, 1, 2, 3)
    await expect(t5.encode({ inputIds, positionIds })).rejects.toThrow('positionIds: found positions for')
    await expect(llama.encode({ inputIds, positionIds }, { pipeline: 'flux' })).rejects.toThrow(
      'positionIds: found positions, with the pipeline flux',
    )
  })
})

it('a file of ids may hold them', async () => {
  const file = join(await temporaryFolder(), 'ids.safetensors')
  const tensor = (name: string, list: number[], shape: number[]) => ({
    name,
    dtype: 'I32' as const,
    shape,
    data: new Uint8Array(Int32Array.from(list).buffer),
  })
  await writeSafetensors(file, [tensor('input_ids', [5, 6], [1, 2]), tensor('position_ids', [3, 4], [1, 2])])
  expect(await readIds(file)).toMatchObject({ positionIds: Int32Array.of(3, 4), attentionMask: undefined })
  await writeSafetensors(file, [tensor('input_ids', [5, 6], [1, 2]), tensor('position_ids', [3], [1, 1])])
  await expect(readIds(file)).rejects.toThrow(
    'position_ids: found shape [1, 1], expected [1, 2], as the inputs',
  )
})
