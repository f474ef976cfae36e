import { JsonBudget } from '../../src/checkpoint/budget.js'
import { mkdir, truncate, copyFile, writeFile } from 'node:fs/promises'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DTYPES, itemBytes } from '../../src/checkpoint/element-types.js'
import { parseHeader, readHeader, soundTensor } from '../../src/checkpoint/safetensors.js'
import { CheckpointError } from '../../src/errors.js'
import { fileWith, GOLDEN, rejection, temporaryFolder } from './helpers.js'

const budget = JsonBudget.atMost(1e9)

const parse = (header: unknown, dataBytes = 0) => {
  const bytes = fileWith(header, dataBytes)
  return parseHeader(bytes, bytes.length, 'x.safetensors')
}
/** A header all of whose tensors are used. */
const parseUsed = (header: unknown, dataBytes = 0) => {
  const { tensors, file } = parse(header, dataBytes)
  return [...tensors.values()].map((tensor) => soundTensor(tensor, file))
}
const f32 = (begin: number, end: number, shape = [(end - begin) / 4]) => ({
  dtype: 'F32',
  shape,
  data_offsets: [begin, end],
})

describe('a sound header', () => {
  it('gives every tensor its type, shape and absolute place', async () => {
    const { tensors, metadata } = await readHeader(join(GOLDEN, 't5-tiny-v11/model.safetensors'), budget)
    expect(tensors.size).toBe(57)
    expect(metadata.get('format')).toBe('pt')
    expect(tensors.get('encoder.block.0.layer.0.SelfAttention.k.weight')).toEqual({
      name: 'encoder.block.0.layer.0.SelfAttention.k.weight',
      dtype: 'F32',
      shape: [64, 64],
      offset: 8 + 6368,
      bytes: 16384,
    })
  })
  it('may name any element type of the format', () => {
    for (const dtype of DTYPES) {
      const bytes = 3 * itemBytes(dtype)
      const { tensors } = parse({ a: { dtype, shape: [3], data_offsets: [0, bytes] } }, bytes)
      expect(tensors.get('a')?.bytes).toBe(bytes)
    }
  })
  it('may hold scalars, empty tensors, and none', () => {
    const { tensors } = parse({ s: f32(0, 4, []), e: f32(4, 4, [0, 7]) }, 4)
    expect([...tensors.values()].map((t) => t.bytes)).toEqual([4, 0])
    expect(parse({}).tensors.size).toBe(0)
  })
  it('may have any length: old files leave the data section unaligned', () => {
    for (let pad = 0; pad < 8; pad++) {
      expect(parse(`{"a":${JSON.stringify(f32(0, 8))}}${' '.repeat(pad)}`, 8).tensors.size).toBe(1)
    }
  })
  it('may belong to a file with bytes that no tensor covers', () => {
    expect(parseUsed({ a: f32(0, 4) }, 9)).toHaveLength(1)
    expect(parseUsed({ a: f32(0, 4), b: f32(8, 12) }, 12)).toHaveLength(2)
    expect(parseUsed({ a: f32(4, 8) }, 8)).toHaveLength(1)
  })
  it('may place tensors off their alignment', () => {
    const [, b] = parseUsed({ a: { dtype: 'U8', shape: [3], data_offsets: [0, 3] }, b: f32(3, 7) }, 7)
    expect(b).toMatchObject({ name: 'b', bytes: 4 })
  })
  it('may have any metadata: strings of it are kept', () => {
    const made = (__metadata__: unknown) => parse({ __metadata__ }).metadata
    expect([...made({ format: 'pt', epoch: 3, notes: { a: [1] }, none: null })]).toEqual([['format', 'pt']])
    for (const other of [null, 3, 'pt', [3], {}]) expect(made(other).size).toBe(0)
  })
  it('may hold tensors of types and shapes that make no sense, as long as they are not used', () => {
    const odd = { dtype: 'F8_E8M0', shape: [4], data_offsets: [0, 4] }
    const long = { dtype: 'F32', shape: [2 ** 40, 2 ** 40], data_offsets: [8, 9] }
    const { tensors, file } = parse({ odd, a: f32(4, 8), long }, 9)
    expect(soundTensor(tensors.get('a')!, file)).toMatchObject({ dtype: 'F32' })
    expect(() => soundTensor(tensors.get('odd')!, file)).toThrow('odd.dtype: found "F8_E8M0"')
    expect(() => soundTensor(tensors.get('long')!, file)).toThrow('long.data_offsets: found 1 bytes')
  })
  it('may name tensors like properties every object has', () => {
    const header = `{"__proto__":${JSON.stringify(f32(0, 4))},"constructor":${JSON.stringify(f32(4, 8))}}`
    const { tensors } = parse(header, 8)
    expect([...tensors.keys()]).toEqual(['__proto__', 'constructor'])
    expect(Object.prototype).not.toHaveProperty('dtype')
  })
})

describe('a header that lies or is damaged', () => {
  const bad: [string, unknown, number, RegExp][] = [
    ['no JSON', '{"a":', 0, /header: is not valid JSON/],
    ['a list', '[]', 0, /found \[\], expected a JSON object/],
    ['null', 'null', 0, /expected a JSON object/],
    ['space before the brace', ' {}', 0, /expected a JSON object/],
    ['the same key twice', '{"a":1,"a":2}', 0, /found "a" twice/],
    ['the same key in two spellings', String.raw`{"a":1,"\u0061":2}`, 0, /found "a" twice/],
    ['the same field twice', '{"a":{"dtype":"F32","dtype":"F16"}}', 0, /"dtype" twice/],
    ['an entry that is no object', { a: 3 }, 0, /a: found 3, expected \{dtype, shape, data_offsets\}/],
    ['no dtype', { a: { shape: [1], data_offsets: [0, 4] } }, 4, /a\.dtype: found nothing/],
    [
      'an unknown dtype',
      { a: { ...f32(0, 4), dtype: 'F4' } },
      4,
      /a\.dtype: found "F4", expected one of F64/,
    ],
    ['a dtype from Object', { a: { ...f32(0, 4), dtype: 'constructor' } }, 4, /a\.dtype/],
    ['a negative size', { a: f32(0, 4, [-1]) }, 4, /a\.shape\.0: found -1, expected a non-negative integer/],
    ['a fraction', { a: f32(0, 4, [1.5]) }, 4, /a\.shape\.0: found 1\.5/],
    ['a size beyond integers', { a: f32(0, 4, [1e300]) }, 4, /a\.shape\.0/],
    [
      'a shape whose product overflows',
      { a: f32(0, 4, [2 ** 40, 2 ** 40]) },
      4,
      /a\.data_offsets: found 4 bytes/,
    ],
    ['three offsets', { a: { ...f32(0, 4), data_offsets: [0, 4, 8] } }, 4, /a\.data_offsets/],
    ['offsets backwards', { a: f32(4, 0, [1]) }, 4, /found \[4, 0\], expected begin <= end/],
    ['offsets beyond the file', { a: f32(0, 8) }, 4, /within the 4 bytes of data.*truncated/],
    [
      'too few bytes for the shape',
      { a: f32(0, 4, [2]) },
      4,
      /found 4 bytes, expected 8 bytes for F32 \[2\]/,
    ],
    [
      'tensors that overlap',
      { a: f32(0, 8), b: f32(4, 12) },
      12,
      /b\.data_offsets: found begin 4, which overlaps "a"/,
    ],
    ['two tensors in one place', { a: f32(0, 4), b: f32(0, 4) }, 4, /overlaps/],
  ]
  it.each(bad)('%s', (_, header, dataBytes, message) => {
    expect(() => parseUsed(header, dataBytes)).toThrow(CheckpointError)
    expect(() => parseUsed(header, dataBytes)).toThrow(message)
  })
  it('no UTF-8', () => {
    const bytes = fileWith('{"a":1}')
    bytes[10] = 0xff
    expect(() => parseHeader(bytes, bytes.length, 'x')).toThrow('x: header: is not valid JSON')
  })
  it('a length beyond the file, and beyond the limit of the format', () => {
    const long = fileWith('{}')
    new DataView(long.buffer, long.byteOffset).setBigUint64(0, 3n, true)
    expect(() => parseHeader(long, long.length, 'x')).toThrow(
      'header length: found 3 bytes, expected at most 2 bytes',
    )
    new DataView(long.buffer, long.byteOffset).setBigUint64(0, 2n ** 64n - 1n, true)
    expect(() => parseHeader(long, 1e12, 'x')).toThrow(
      'expected at most 100000000 bytes (the limit of the format)',
    )
  })
})

describe('a file that is no safetensors file', () => {
  const contents: [string, string | Uint8Array, RegExp][] = [
    [
      'an LFS pointer',
      'version https://git-lfs.github.com/spec/v1\noid sha256:00\n',
      /Git LFS pointer.*git lfs pull/,
    ],
    ['a web page', '<!DOCTYPE html><html></html>', /a web page/],
    ['GGUF', 'GGUF\x03\0\0\0', /a GGUF file/],
    ['a PyTorch archive', 'PK\x03\x04aaaaaaaaaaaa', /zip archive, as PyTorch/],
    ['an old pickle', Buffer.from('\x80\x02}q\x00(X', 'latin1'), /a Python pickle/],
    ['nothing', '', /an empty file/],
    ['four bytes', 'abcd', /a file of 4 bytes/],
  ]
  it.each(contents)('%s', async (_, content, message) => {
    const file = join(await temporaryFolder(), 'model.safetensors')
    await writeFile(file, content)
    const error = await rejection(readHeader(file, budget))
    expect(error).toBeInstanceOf(CheckpointError)
    expect(error.message).toMatch(message)
    expect(error.message).toContain(file)
  })
  it('a folder, a pipe, nothing at all', async () => {
    const folder = await temporaryFolder()
    await mkdir(join(folder, 'd'))
    execFileSync('mkfifo', [join(folder, 'p')])
    expect((await rejection(readHeader(join(folder, 'd'), budget))).message).toContain(
      'found a folder, expected a file',
    )
    expect((await rejection(readHeader(join(folder, 'p'), budget))).message).toContain(
      'found a device, pipe or socket',
    )
    expect((await rejection(readHeader(join(folder, 'n'), budget))).message).toContain(
      'there is no such file',
    )
  })
  it('a header of 640 bytes begins like a pickle and is none', async () => {
    const file = join(await temporaryFolder(), 'a')
    await writeFile(file, fileWith('{}'.padEnd(640)))
    expect((await readHeader(file, budget)).tensors.size).toBe(0)
  })
  it('a real file cut anywhere is an error', async () => {
    const file = join(await temporaryFolder(), 'cut.safetensors')
    for (const size of [1206247, 600000, 6376, 3000, 8, 7, 0]) {
      await copyFile(join(GOLDEN, 't5-tiny-v11/model.safetensors'), file)
      await truncate(file, size)
      expect(await rejection(readHeader(file, budget))).toBeInstanceOf(CheckpointError)
    }
  })
})

describe('fuzzing', () => {
  // SKRR_FUZZ=100000 for a long run
  const numRuns = Number(process.env['SKRR_FUZZ'] ?? 2000)
  const number = fc.oneof(
    fc.integer({ min: 0, max: 16 }),
    fc.constantFrom(-1, 0.5, 2 ** 31, 2 ** 53, 1e308, -0, null, '4', true),
  )
  const entry = fc.oneof(
    fc.record(
      {
        dtype: fc.oneof(fc.constantFrom<string>(...DTYPES), fc.string()),
        shape: fc.oneof(fc.array(number, { maxLength: 4 }), number),
        data_offsets: fc.oneof(fc.tuple(number, number), fc.array(number, { maxLength: 3 })),
      },
      { requiredKeys: [] },
    ),
    fc.jsonValue({ maxDepth: 2 }),
  )
  const name = fc.oneof(
    fc.string(),
    fc.constantFrom('__proto__', '__metadata__', 'a', 'constructor', '\ud800'),
  )
  const header = fc.oneof(
    fc.dictionary(name, entry, { maxKeys: 5 }).map((value) => JSON.stringify(value)),
    fc.json(),
    fc.string(),
  )
  const holds = (bytes: Uint8Array, fileSize: number): void => {
    let parsed
    try {
      parsed = parseHeader(bytes, fileSize, 'fuzz')
    } catch (error) {
      expect(error).toBeInstanceOf(CheckpointError)
      return
    }
    let sum = 0
    for (const tensor of parsed.tensors.values()) {
      const { offset, bytes: size, shape } = tensor
      expect(offset >= 8 && offset + size <= fileSize).toBe(true)
      sum += size
      try {
        const { dtype } = soundTensor(tensor, 'fuzz')
        expect(shape.reduce((p, n) => p * n, itemBytes(dtype)) === size).toBe(true)
      } catch (error) {
        expect(error).toBeInstanceOf(CheckpointError)
      }
    }
    expect(sum <= fileSize - 8).toBe(true)
  }

  it('any header ends in tensors inside the file or in a CheckpointError', () => {
    fc.assert(
      fc.property(header, fc.nat(40), fc.integer({ min: -2, max: 2 }), (text, dataBytes, lie) => {
        const bytes = fileWith(text, dataBytes)
        holds(bytes, bytes.length + lie)
      }),
      { numRuns },
    )
  })
  it('so does a real header with bytes changed', async () => {
    const { readFile } = await import('node:fs/promises')
    const real = await readFile(join(GOLDEN, 't5-tiny-v10/bf16/model.safetensors'))
    const start = real.subarray(0, 2960)
    const change = fc.tuple(
      fc.nat(start.length - 1),
      fc.oneof(fc.nat(255), fc.constantFrom(48, 57, 44, 34, 93)),
    )
    fc.assert(
      fc.property(fc.array(change, { minLength: 1, maxLength: 4 }), (changes) => {
        const bytes = Uint8Array.from(start)
        for (const [at, value] of changes) bytes[at] = value
        holds(bytes, real.length)
      }),
      { numRuns },
    )
  })
  it('so does any string of bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), fc.nat(100), (bytes, size) => holds(bytes, size)),
      { numRuns },
    )
  })
})
