import { JsonBudget } from '../../src/checkpoint/budget.js'
import { constants } from 'node:fs'
import { chmod, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DTYPES, itemBytes } from '../../src/checkpoint/element-types.js'
import { readHeader, soundTensor } from '../../src/checkpoint/safetensors.js'
import { floatsOf, readTensors } from '../../src/checkpoint/tensor-file.js'
import { writeSafetensors } from '../../src/export/write.js'
import { CheckpointError, InputError, OutputError } from '../../src/errors.js'
import { GOLDEN, rejection, temporaryFolder } from './helpers.js'

const budget = JsonBudget.atMost(1e9)

describe('reading small tensors', () => {
  it('gives each an array of its element type', async () => {
    const tensors = await readTensors(join(GOLDEN, 't5-tiny-v11/expected.safetensors'))
    const ids = [...tensors].find(([name]) => name.includes('input_ids'))?.[1]
    expect(ids?.data).toBeInstanceOf(Int32Array)
    const hidden = tensors.get('len1.last_hidden_state.f64')
    expect(hidden?.shape).toEqual([1, 1, 64])
    expect(hidden?.data).toBeInstanceOf(Float64Array)
    expect(floatsOf(hidden!)).toHaveLength(64)
    expect(floatsOf(ids!)).toBeUndefined()
  })
  it('reads only the names asked for', async () => {
    const file = join(GOLDEN, 't5-tiny-v11/expected.safetensors')
    expect([...(await readTensors(file, ['len1.last_hidden_state.f64', 'none'])).keys()]).toEqual([
      'len1.last_hidden_state.f64',
    ])
  })
  it('calls a broken file bad input', async () => {
    const file = join(await temporaryFolder(), 'a')
    await writeFile(file, 'GGUF....')
    expect(await rejection(readTensors(file))).toBeInstanceOf(InputError)
  })
})

describe('writing', () => {
  it('what is written is read back, laid out for typed arrays', async () => {
    const file = join(await temporaryFolder(), 'a.safetensors')
    const tensor = fc.record({
      name: fc.oneof(fc.string(), fc.constant('__proto__')).filter((name) => name !== '__metadata__'),
      dtype: fc.constantFrom(...DTYPES),
      shape: fc.array(fc.nat(4), { maxLength: 3 }),
    })
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(tensor, { selector: (t) => t.name, maxLength: 6 }), async (list) => {
        const withData = list.map((t, i) => {
          const bytes = t.shape.reduce((p, n) => p * n, itemBytes(t.dtype))
          return { ...t, data: Uint8Array.from({ length: bytes }, (_, k) => (i + k) % 2) }
        })
        await writeSafetensors(file, withData, { metadata: { made: 'here' } })
        const header = await readHeader(file, budget)
        expect(header.metadata.get('made')).toBe('here')
        for (const tensor of header.tensors.values())
          expect(tensor.offset % itemBytes(soundTensor(tensor, file).dtype)).toBe(0)
        const back = await readTensors(file)
        expect(back.size).toBe(list.length)
        for (const t of withData) {
          const { dtype, shape, data } = back.get(t.name)!
          expect({ dtype, shape }).toEqual({ dtype: t.dtype, shape: t.shape })
          expect(new Uint8Array(data.buffer)).toEqual(t.data)
        }
      }),
      { numRuns: 100 },
    )
  })
  it('streams chunks, and reports the bytes written', async () => {
    const file = join(await temporaryFolder(), 'a.safetensors')
    const seen: number[] = []
    async function* data() {
      yield Uint8Array.of(1, 2)
      await Promise.resolve()
      yield Uint8Array.of(3)
    }
    await writeSafetensors(file, [{ name: 'a', dtype: 'U8', shape: [3], data: data() }], {
      onProgress: (bytes) => seen.push(bytes),
    })
    expect(seen).toEqual([2, 3])
    expect((await readTensors(file)).get('a')?.data).toEqual(Uint8Array.of(1, 2, 3))
  })
})

describe('writing that fails leaves what was there and nothing else', () => {
  const chunks = (...list: Uint8Array[]) => [{ name: 'a', dtype: 'U8' as const, shape: [4], data: list }]
  const attempt = async (write: (file: string) => Promise<void>) => {
    const folder = await temporaryFolder()
    const file = join(folder, 'a.safetensors')
    await writeFile(file, 'before')
    const error = await rejection(write(file))
    expect(await readdir(folder)).toEqual(['a.safetensors'])
    expect(await readFile(file, 'utf8')).toBe('before')
    return error
  }
  it('when data and shape disagree', async () => {
    for (const data of [Uint8Array.of(1), new Uint8Array(5)]) {
      const error = await attempt((file) => writeSafetensors(file, chunks(data)))
      expect(error).toBeInstanceOf(OutputError)
      expect(error.message).toMatch(/a: found [15] bytes of data, expected 4 for U8 \[4\]/)
    }
  })
  it('when a stream breaks: our own errors pass, others name the file', async () => {
    const own = new CheckpointError({ message: 'source' })
    const broken = (error: Error) =>
      (function* (): Generator<Uint8Array> {
        throw error
      })()
    const of = (error: Error) => [{ name: 'a', dtype: 'U8' as const, shape: [4], data: broken(error) }]
    expect(await attempt((file) => writeSafetensors(file, of(own)))).toBe(own)
    const other = await attempt((file) => writeSafetensors(file, of(new Error('boom'))))
    expect(other).toBeInstanceOf(OutputError)
    expect(other.message).toMatch(/a\.safetensors: cannot be written: boom/)
  })
  it('when it is aborted, before or in the middle', async () => {
    const abort = new AbortController()
    const error = await attempt((file) =>
      writeSafetensors(file, chunks(new Uint8Array(2), new Uint8Array(2)), {
        signal: abort.signal,
        onProgress: () => abort.abort(),
      }),
    )
    expect(error.name).toBe('AbortError')
    expect((await attempt((file) => writeSafetensors(file, [], { signal: abort.signal }))).name).toBe(
      'AbortError',
    )
  })
  it('when the folder is missing, read-only or a file', async () => {
    const folder = await temporaryFolder()
    await writeFile(join(folder, 'f'), '')
    const write = (path: string) => rejection(writeSafetensors(join(folder, path), []))
    expect((await write('none/a')).message).toContain(
      'none/a: cannot be written: there is no such file or folder',
    )
    expect((await write('f/a')).message).toContain('a part of the path is not a folder')
    if (process.getuid?.() !== 0) {
      await chmod(folder, constants.S_IRUSR | constants.S_IXUSR)
      expect((await write('a')).message).toContain('permission denied')
      await chmod(folder, 0o700)
    }
  })
})
