import fc from 'fast-check'

/** A change of any file. Places are taken modulo its length. */
export type ByteEdit =
  | { readonly kind: 'flip'; readonly at: number; readonly bit: number }
  | { readonly kind: 'set'; readonly at: number; readonly hex: string }
  | { readonly kind: 'insert'; readonly at: number; readonly hex: string }
  | { readonly kind: 'cut'; readonly at: number }
  | { readonly kind: 'drop'; readonly at: number; readonly count: number }
  | { readonly kind: 'extend'; readonly count: number; readonly hex: string }
  | { readonly kind: 'whole'; readonly hex: string }

const hex = (bytes: Uint8Array | string): string => Buffer.from(bytes as string).toString('hex')

/** Beginnings of files of other kinds, and of none. */
const BEGINNINGS = [
  ...[
    '',
    '\0',
    'GGUF\x03\0\0\0',
    'GGUF',
    'PK\x03\x04',
    '\x80\x02}q\0.',
    '\x1f\x8b\x08',
    '{',
    '{}',
    'null',
    '[]',
    '"',
  ],
  ...[
    'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n',
    '<!DOCTYPE html>',
    '\ufeff{}',
    '\n',
  ],
].map(hex)

/** Bit patterns that mean something: NaN, infinity and the greatest number in 32 and 16 bits, and lengths without end. */
const PATTERNS = [
  ...[
    '0000c07f',
    '0000807f',
    '000080ff',
    'ffff7f7f',
    '01000000',
    'c07f',
    '807f',
    '007c',
    'ff7b',
    'ff',
    '00',
    '80',
  ],
  ...['ffffffffffffffff', 'ffffffffffffff7f', '0000000001000000', '0000008000000000', '00'.repeat(64)],
]

const place = fc.nat(0x7fffffff)
const some = fc.oneof(
  fc.constantFrom(...PATTERNS),
  fc.uint8Array({ minLength: 1, maxLength: 16 }).map((bytes) => hex(bytes)),
)

export const byteEdit: fc.Arbitrary<ByteEdit> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('flip'), at: place, bit: fc.nat(7) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('set'), at: place, hex: some }) },
  // where lengths and headers are
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('set'), at: fc.nat(16), hex: some }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('insert'), at: place, hex: some }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('cut'), at: place }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('drop'), at: place, count: fc.nat(64) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('extend'), count: fc.nat(4096), hex: some }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('whole'), hex: fc.constantFrom(...BEGINNINGS) }) },
)

export function editBytes(bytes: Buffer, edits: readonly ByteEdit[]): Buffer {
  return edits.reduce<Buffer>(edited, bytes)
}

function edited(bytes: Buffer, edit: ByteEdit): Buffer {
  if (edit.kind === 'whole') return Buffer.from(edit.hex, 'hex')
  const given = 'hex' in edit ? Buffer.from(edit.hex, 'hex') : Buffer.alloc(0)
  if (edit.kind === 'extend') return Buffer.concat([bytes, ...Array<Buffer>(edit.count).fill(given)])
  const at = bytes.length === 0 ? 0 : edit.at % bytes.length
  const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)]
  switch (edit.kind) {
    case 'flip':
      return Buffer.concat([
        before,
        after.subarray(0, 1).map((byte) => byte ^ (1 << edit.bit)),
        after.subarray(1),
      ])
    case 'set':
      return Buffer.concat([before, given, after.subarray(given.length)])
    case 'insert':
      return Buffer.concat([before, given, after])
    case 'cut':
      return before
    case 'drop':
      return Buffer.concat([before, after.subarray(edit.count)])
  }
}
