import { z } from 'zod'
import { CheckpointError } from '../errors.js'
import { DTYPES, isDType, itemBytes, type DType } from './element-types.js'
import { readExactly, withFile } from '../io/files.js'
import { identifyBytes } from './identify.js'
import { firstDuplicateKey } from '../io/json-keys.js'
import { check, show } from '../io/check.js'

/**
 * Headers of safetensors files (https://github.com/huggingface/safetensors): eight bytes of length, that much JSON, data.
 * The rules are upstream's: data has no holes or overlaps and ends with the file, a header has at most 100 MB. Beyond upstream,
 * a tensor must start at a multiple of its element size *within the data section*, and no key may occur twice. The start of the
 * data section is not checked: safetensors before 0.3 wrote headers of any length, these files are common, and the engine copies
 * elements out of unaligned memory.
 */
export interface SafetensorsHeader {
  readonly file: string
  readonly fileSize: number
  /** `__metadata__`; free text, trusted for nothing. */
  readonly metadata: ReadonlyMap<string, string>
  readonly tensors: ReadonlyMap<string, HeaderTensor>
}

export interface HeaderTensor {
  readonly name: string
  readonly dtype: DType
  readonly shape: readonly number[]
  /** Absolute byte offset in the file. */
  readonly offset: number
  readonly bytes: number
}

const PREFIX = 8
const MAX_HEADER = 100_000_000
const MAGIC_BYTES = 256
const TRUNCATED = 'The file is truncated or its header is damaged; fetch it again.'

const count = z.int('a non-negative integer').nonnegative('a non-negative integer')
const entrySchema = z.object(
  {
    dtype: z.string('the name of an element type'),
    shape: z.array(count, 'a list of non-negative integers'),
    data_offsets: z.tuple([count, count], '[begin, end] in bytes'),
  },
  '{dtype, shape, data_offsets}',
)
const metadataSchema = z.record(z.string(), z.string('a string'), 'an object of strings').nullable()

/** Reads the length and the JSON of a safetensors file and checks both; never touches the data. */
export async function readHeader(file: string): Promise<SafetensorsHeader> {
  return withFile(file, async (handle, size) => {
    const start = new Uint8Array(Math.min(size, MAGIC_BYTES))
    await readExactly(handle, start, 0, file)
    const other = identifyBytes(start)
    if (other !== undefined) throw new CheckpointError({ file, found: other, expected: 'a safetensors file' })
    const bytes = new Uint8Array(PREFIX + headerLength(start, size, file))
    await readExactly(handle, bytes, 0, file)
    return parseHeader(bytes, size, file)
  })
}

/**
 * The pure part of readHeader. `bytes` is the start of a file of `fileSize` bytes and reaches at least to the end of the
 * header; `file` is only named in errors. Throws CheckpointError, whatever the bytes.
 */
export function parseHeader(bytes: Uint8Array, fileSize: number, file: string): SafetensorsHeader {
  const length = headerLength(bytes, fileSize, file)
  const json = parseObject(bytes.subarray(PREFIX, PREFIX + length), file)
  const dataStart = PREFIX + length
  const tensors = new Map<string, HeaderTensor>()
  let metadata = new Map<string, string>()
  for (const [name, value] of Object.entries(json)) {
    if (name === '__metadata__') {
      metadata = new Map(Object.entries(check(metadataSchema, value, file, name) ?? {}))
    } else {
      tensors.set(name, parseEntry(name, value, dataStart, fileSize, file))
    }
  }
  checkLayout([...tensors.values()], dataStart, fileSize, file)
  return { file, fileSize, metadata, tensors }
}

function headerLength(bytes: Uint8Array, fileSize: number, file: string): number {
  if (fileSize < PREFIX || bytes.length < PREFIX) {
    const found = `a file of ${Math.min(fileSize, bytes.length)} bytes`
    throw new CheckpointError({ file, found, expected: 'a safetensors file', hint: TRUNCATED })
  }
  const length = new DataView(bytes.buffer, bytes.byteOffset, PREFIX).getBigUint64(0, true)
  const limit = Math.min(MAX_HEADER, fileSize - PREFIX)
  if (length > BigInt(limit)) {
    throw new CheckpointError({
      file,
      field: 'header length',
      found: `${length} bytes`,
      expected: `at most ${limit} bytes (${limit === MAX_HEADER ? 'the limit of the format' : 'what the file holds'})`,
      hint: 'This is no safetensors file, or it is truncated or damaged.',
    })
  }
  return Number(length)
}

function parseObject(bytes: Uint8Array, file: string): object {
  let text: string
  let json: unknown
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    json = JSON.parse(text)
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new CheckpointError(
      { file, field: 'header', message: `is not valid JSON: ${reason.slice(0, 200)}` },
      { cause: error },
    )
  }
  if (typeof json !== 'object' || json === null || !text.startsWith('{')) {
    throw new CheckpointError({ file, field: 'header', found: show(json), expected: 'a JSON object' })
  }
  const twice = firstDuplicateKey(text)
  if (twice !== undefined) {
    throw new CheckpointError({
      file,
      field: 'header',
      found: `${show(twice)} twice`,
      expected: 'each key once',
    })
  }
  return json
}

function parseEntry(
  name: string,
  value: unknown,
  dataStart: number,
  fileSize: number,
  file: string,
): HeaderTensor {
  const field = show(name).slice(1, -1)
  const fail = (part: string, found: string, expected: string, hint?: string): never => {
    throw new CheckpointError({ file, field: `${field}.${part}`, found, expected, hint })
  }
  const { dtype, shape, data_offsets: offsets } = check(entrySchema, value, file, field)
  if (!isDType(dtype)) return fail('dtype', show(dtype), `one of ${DTYPES.join(', ')}`)
  const [begin, end] = offsets
  const found = `[${begin}, ${end}]`
  if (begin > end) return fail('data_offsets', found, 'begin <= end')
  const dataBytes = fileSize - dataStart
  if (end > dataBytes) {
    return fail('data_offsets', found, `offsets within the ${dataBytes} bytes of data in the file`, TRUNCATED)
  }
  const size = itemBytes(dtype)
  const bytes = shape.reduce((product, n) => product * n, size)
  if (!Number.isSafeInteger(bytes) || bytes !== end - begin) {
    return fail('data_offsets', `${end - begin} bytes`, `${bytes} bytes for ${dtype} [${shape.join(', ')}]`)
  }
  if (begin % size !== 0) {
    return fail('data_offsets', found, `begin to be a multiple of ${size}, the element size of ${dtype}`)
  }
  return { name, dtype, shape, offset: dataStart + begin, bytes }
}

/** The tensors, laid end to end, must be the data section: two that overlap can be made to mean anything. */
function checkLayout(tensors: HeaderTensor[], dataStart: number, fileSize: number, file: string): void {
  tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)
  let end = dataStart
  let before: string | undefined
  for (const { name, offset, bytes } of tensors) {
    if (offset !== end) {
      throw new CheckpointError({
        file,
        field: `${show(name).slice(1, -1)}.data_offsets`,
        found: `begin ${offset - dataStart}, which ${offset < end ? 'overlaps' : 'leaves a hole after'} ${show(before ?? 'the start')}`,
        expected: `begin ${end - dataStart}`,
      })
    }
    end += bytes
    before = name
  }
  if (end !== fileSize) {
    throw new CheckpointError({
      file,
      found: `${fileSize - end} bytes after the last tensor`,
      expected: `a file of ${end} bytes`,
    })
  }
}
