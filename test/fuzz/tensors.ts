import fc from 'fast-check'
import { editJson, type JsonEdit } from './json.js'

/** A change of a safetensors file that its reader may well take for sound. Places are taken modulo what is there. */
export type TensorEdit =
  /** Another shape, with as much data as it needs. */
  | { readonly kind: 'reshape'; readonly at: number; readonly shape: readonly number[] }
  /** One dimension of it. */
  | { readonly kind: 'resize'; readonly at: number; readonly axis: number; readonly to: number }
  /** All dimensions of that length, in all tensors: another model. */
  | { readonly kind: 'resize all'; readonly at: number; readonly axis: number; readonly to: number }
  | { readonly kind: 'transpose'; readonly at: number }
  | { readonly kind: 'retype'; readonly at: number; readonly dtype: string; readonly fill: boolean }
  | { readonly kind: 'leave out'; readonly at: number }
  | { readonly kind: 'call'; readonly at: number; readonly like: number; readonly suffix: string }
  | { readonly kind: 'poke'; readonly at: number; readonly byte: number; readonly hex: string }
  | { readonly kind: 'flood'; readonly count: number }
  | { readonly kind: 'overlap'; readonly at: number; readonly by: number }
  | { readonly kind: 'header length'; readonly by: number | string }

const SIZES: Readonly<Record<string, number>> = {
  ...{
    F64: 8,
    F32: 4,
    F16: 2,
    BF16: 2,
    I64: 8,
    I32: 4,
    I16: 2,
    I8: 1,
    U64: 8,
    U32: 4,
    U16: 2,
    U8: 1,
    BOOL: 1,
  },
  ...{ F8_E4M3: 1, F8_E5M2: 1, F8_E8M0: 1, F4: 0.5, C64: 8, X9: 1 },
}
/** Data is made up to this many bytes; beyond, the header promises what is not there. */
const MAX_BYTES = 1 << 22

const place = fc.nat(0x7fffffff)
const dimension = fc.oneof(
  fc.constantFrom(...[0, 1, 2, 3, 4, 8, 16, 31, 33, 64, 128, 256, 512, 513, 1024, 4096, 65536]),
  fc.constantFrom(...[2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53 - 1, -1, 1.5]),
)
const suffix = fc.constantFrom(
  ...[
    '',
    '.scale_weight',
    '.weight_scale',
    '.qweight',
    '.absmax',
    '.lora_A.weight',
    '_packed',
    '.int8',
    '.scales',
  ],
)

export const tensorEdit: fc.Arbitrary<TensorEdit> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('reshape'),
      at: place,
      shape: fc.array(dimension, { minLength: 0, maxLength: 4 }),
    }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('resize'), at: place, axis: place, to: dimension }) },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('resize all'), at: place, axis: place, to: dimension }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('transpose'), at: place }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('retype'),
      at: place,
      dtype: fc.constantFrom(...Object.keys(SIZES)),
      fill: fc.boolean(),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('leave out'), at: place }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('call'), at: place, like: place, suffix }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('poke'),
      at: place,
      byte: place,
      hex: fc.constantFrom(
        '0000c07f',
        '0000807f',
        'ffff7f7f',
        '00000000',
        'ffffffff',
        '000080ff',
        '01000000',
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('flood'), count: fc.constantFrom(10, 1000, 20_000) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('overlap'), at: place, by: fc.integer({ min: -64, max: 64 }) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('header length'),
      by: fc.oneof(
        fc.constantFrom(-8, -1, 1, 8, 4096),
        fc.constantFrom('0', '1', '100000000', '9223372036854775807'),
      ),
    }),
  },
)

interface Entry {
  name: string
  dtype: string
  shape: number[]
  data: Buffer
  /** Added to its offsets. */
  shift: number
}

/** Edits of tensors first, then of the header's text; a file that is not safetensors stays what it is. */
export function editTensors(
  bytes: Buffer,
  tensorEdits: readonly TensorEdit[],
  headerEdits: readonly JsonEdit[],
): Buffer {
  const { entries, metadata } = parse(bytes)
  for (const edit of tensorEdits) apply(entries, edit)
  const header: Record<string, unknown> = metadata === undefined ? {} : { __metadata__: metadata }
  let end = 0
  for (const { name, dtype, shape, data, shift } of entries) {
    header[name] = { dtype, shape, data_offsets: [end + shift, end + shift + data.length] }
    end += data.length
  }
  const json = Buffer.from(editJson(JSON.stringify(header), headerEdits))
  // what is packed lies at multiples of 64 bytes
  const text = Buffer.concat([json, Buffer.alloc(63 - ((json.length + 7) % 64), ' ')])
  const length = Buffer.alloc(8)
  length.writeBigUInt64LE(announced(text.length, tensorEdits))
  return Buffer.concat([length, text, ...entries.map(({ data }) => data)])
}

function announced(length: number, edits: readonly TensorEdit[]): bigint {
  for (const edit of edits) {
    if (edit.kind === 'header length') return BigInt(typeof edit.by === 'string' ? edit.by : length + edit.by)
  }
  return BigInt(length)
}

function parse(bytes: Buffer): { entries: Entry[]; metadata: unknown } {
  const begin = 8 + Number(bytes.readBigUInt64LE(0))
  const { __metadata__: metadata, ...tensors } = JSON.parse(bytes.toString('utf8', 8, begin)) as Record<
    string,
    { dtype: string; shape: number[]; data_offsets: [number, number] }
  >
  const entries = Object.entries(tensors).map(
    ([
      name,
      {
        dtype,
        shape,
        data_offsets: [from, to],
      },
    ]) => ({
      ...{ name, dtype, shape, shift: 0 },
      data: bytes.subarray(begin + from, begin + to),
    }),
  )
  return { entries, metadata }
}

function apply(entries: Entry[], edit: TensorEdit): void {
  if (edit.kind === 'flood') {
    for (let i = 0; i < edit.count; i++) {
      entries.push({ name: `flood.${i}`, dtype: 'F32', shape: [0], data: Buffer.alloc(0), shift: 0 })
    }
    return
  }
  if (edit.kind === 'header length' || entries.length === 0) return
  const at = edit.at % entries.length
  const entry = entries[at]!
  switch (edit.kind) {
    case 'reshape':
      entry.shape = [...edit.shape]
      break
    case 'resize':
      entry.shape = entry.shape.map((n, axis) => (axis === edit.axis % entry.shape.length ? edit.to : n))
      break
    case 'resize all': {
      const from = entry.shape[edit.axis % Math.max(1, entry.shape.length)]
      for (const other of entries) {
        other.shape = other.shape.map((n) => (n === from ? edit.to : n))
        other.data = filled(other)
      }
      return
    }
    case 'transpose':
      entry.shape = entry.shape.toReversed()
      break
    case 'retype':
      entry.dtype = edit.dtype
      if (!edit.fill) return
      break
    case 'leave out':
      entries.splice(at, 1)
      return
    case 'call':
      entry.name = `${entries[edit.like % entries.length]!.name}${edit.suffix}`
      return
    case 'poke':
      entry.data = poked(entry.data, edit.byte, edit.hex)
      return
    case 'overlap':
      entry.shift += edit.by
      return
  }
  entry.data = filled(entry)
}

function poked(data: Buffer, byte: number, hex: string): Buffer {
  if (data.length === 0) return data
  const copy = Buffer.from(data)
  copy.write(hex, (byte % data.length) & ~3, 'hex')
  return copy
}

/** As many bytes as the shape needs: those that are there, over and over. */
function filled({ dtype, shape, data }: Entry): Buffer {
  const bytes = shape.reduce((product, n) => product * n, SIZES[dtype] ?? 1)
  if (!Number.isInteger(bytes) || bytes < 0 || bytes > MAX_BYTES) return data
  return data.length === 0 ? Buffer.alloc(bytes) : Buffer.alloc(bytes, data)
}
