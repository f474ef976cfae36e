import { z } from 'zod'
import { CheckpointError } from '../errors.js'
import type { JsonBudget } from './budget.js'
import { DTYPES, isDType, itemBytes, type DType } from './element-types.js'
import { readExactly, withFile } from '../io/files.js'
import { identifyBytes, isPickle, PICKLE_HINT } from './identify.js'
import { firstDuplicateKey } from '../io/json-keys.js'
import { check, show } from '../io/check.js'

/**
 * Headers of safetensors files (https://github.com/huggingface/safetensors): eight bytes of length, that much JSON, data.
 * Every tensor must lie inside the file and overlap no other, and no key may occur twice: else two readers could see two models.
 * The element type, and whether the bytes fit the shape, are checked of the tensors that are used (soundTensor), because a file may
 * also hold other models, in types that are unknown here. Upstream refuses bytes that no tensor covers; here they are ignored,
 * because third parties write such files. Tensors may start at any byte: the engine copies elements out of unaligned memory.
 */
export interface SafetensorsHeader {
  readonly file: string
  readonly fileSize: number
  /** The strings of `__metadata__`; free text, trusted for nothing. */
  readonly metadata: ReadonlyMap<string, string>
  readonly tensors: ReadonlyMap<string, HeaderTensor>
}

/** A tensor as its header gives it. It lies inside the file; its element type may be unknown. */
export interface HeaderTensor {
  readonly name: string
  readonly dtype: string
  readonly shape: readonly number[]
  /** Absolute byte offset in the file. */
  readonly offset: number
  readonly bytes: number
}

/** One of a known element type, whose bytes are those of its shape. */
export interface SoundTensor extends HeaderTensor {
  readonly dtype: DType
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

/** Reads the length and the JSON of a safetensors file and checks both; never touches the data. `budget` bounds the JSON. */
export async function readHeader(file: string, budget: JsonBudget): Promise<SafetensorsHeader> {
  return withFile(file, async (handle, size) => {
    const start = new Uint8Array(Math.min(size, MAGIC_BYTES))
    await readExactly(handle, start, 0, file)
    const other = identifyBytes(start)
    if (other !== undefined) {
      const hint = isPickle(other) ? PICKLE_HINT : undefined
      throw new CheckpointError({ file, found: other, expected: 'a safetensors file', hint })
    }
    const length = headerLength(start, size, file)
    budget.take(file, length)
    const bytes = new Uint8Array(PREFIX + length)
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
      metadata = stringsOf(value)
    } else {
      tensors.set(name, parseEntry(name, value, dataStart, fileSize, file))
    }
  }
  refuseOverlaps([...tensors.values()], dataStart, file)
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
  // zod takes 50 times as long, and says what is wrong
  const {
    dtype,
    shape,
    data_offsets: offsets,
  } = isEntry(value) ? value : check(entrySchema, value, file, field)
  const [begin, end] = offsets
  const found = `[${begin}, ${end}]`
  if (begin > end) return fail('data_offsets', found, 'begin <= end')
  const dataBytes = fileSize - dataStart
  if (end > dataBytes) {
    return fail('data_offsets', found, `offsets within the ${dataBytes} bytes of data in the file`, TRUNCATED)
  }
  return { name, dtype, shape, offset: dataStart + begin, bytes: end - begin }
}

const isCount = (n: unknown): boolean => Number.isSafeInteger(n) && (n as number) >= 0

/** Whether `entrySchema` holds. */
function isEntry(value: unknown): value is z.output<typeof entrySchema> {
  const { dtype, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>
  return (
    typeof dtype === 'string' &&
    Array.isArray(shape) &&
    shape.every(isCount) &&
    Array.isArray(offsets) &&
    offsets.length === 2 &&
    offsets.every(isCount)
  )
}

/** Judges a tensor that is about to be used. Throws CheckpointError, which names it. */
export function soundTensor(tensor: HeaderTensor, file: string): SoundTensor {
  const { name, dtype, shape, bytes } = tensor
  const fail = (part: string, found: string, expected: string): never => {
    throw new CheckpointError({ file, field: `${show(name).slice(1, -1)}.${part}`, found, expected })
  }
  if (!isDType(dtype)) return fail('dtype', show(dtype), `one of ${DTYPES.join(', ')}`)
  const expected = shape.reduce((product, n) => product * n, itemBytes(dtype))
  if (expected !== bytes) {
    return fail('data_offsets', `${bytes} bytes`, `${expected} bytes for ${dtype} [${shape.join(', ')}]`)
  }
  return { ...tensor, dtype }
}

const stringsOf = (metadata: unknown): Map<string, string> =>
  new Map(
    Object.entries(typeof metadata === 'object' && metadata !== null ? metadata : {}).filter(
      (entry): entry is [string, string] => typeof entry[1] === 'string',
    ),
  )

/** Two tensors that overlap can be made to mean anything. */
function refuseOverlaps(tensors: HeaderTensor[], dataStart: number, file: string): void {
  tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes)
  let end = dataStart
  let before: string | undefined
  for (const { name, offset, bytes } of tensors) {
    if (bytes === 0) continue
    if (offset < end) {
      throw new CheckpointError({
        file,
        field: `${show(name).slice(1, -1)}.data_offsets`,
        found: `begin ${offset - dataStart}, which overlaps ${show(before)}`,
        expected: `begin ${end - dataStart} or more`,
      })
    }
    end = offset + bytes
    before = name
  }
}
