import { CP437 } from './mojibake-tables.js'

/** An encoding of one byte a character. Bytes are held as characters below U+0100. */
export interface Encoding {
  readonly name: string
  /** Bytes it has no character for stand for themselves, and byte 1A for a lost one. */
  readonly sloppy: boolean
  /** undefined where a character is not in it */
  encode(text: string): string | undefined
}

const LOST = 0x1a
const HIGH = Array.from({ length: 128 }, (_, i) => 128 + i)

/** In the order in which ftfy tries them. */
export const ENCODINGS: readonly Encoding[] = [
  encodingOf('latin-1', String.fromCharCode(...HIGH), false),
  ...['1252', '1251', '1250', '1253', '1254', '1257'].map((page) =>
    encodingOf(`sloppy-windows-${page}`, decoded(`windows-${page}`), true),
  ),
  encodingOf('iso-8859-2', decoded('iso-8859-2'), false),
  encodingOf('macroman', decoded('macintosh'), false),
  encodingOf('cp437', CP437, false),
]

/** The characters of the bytes from 128 on; those without one are themselves, as C1 controls. */
function decoded(label: string): string {
  const decoder = new TextDecoder(label)
  return HIGH.map((byte) => {
    const character = decoder.decode(Uint8Array.of(byte))
    return character === '\ufffd' ? String.fromCharCode(byte) : character
  }).join('')
}

function encodingOf(name: string, high: string, sloppy: boolean): Encoding {
  const bytes = new Map(Array.from({ length: 128 }, (_, byte) => [String.fromCharCode(byte), byte]))
  for (const [i, character] of Array.from(high).entries()) bytes.set(character, 128 + i)
  if (sloppy) {
    bytes.delete(String.fromCharCode(LOST))
    bytes.set('\ufffd', LOST)
  }
  return {
    name,
    sloppy,
    encode(text) {
      let out = ''
      for (const character of text) {
        const byte = bytes.get(character)
        if (byte === undefined) return undefined
        out += String.fromCharCode(byte)
      }
      return out
    },
  }
}

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
/** A surrogate pair in UTF-8, each half in three bytes (CESU-8), and Java's zero. */
const CESU = /\xed([\xa0-\xaf])([\x80-\xbf])\xed([\xb0-\xbf])([\x80-\xbf])/g
const JAVA_ZERO = /\xc0\x80/g

/** Bytes as UTF-8, with the variants that Java and old databases write. undefined where they are not */
export function decodeUtf8Variants(bytes: string): string | undefined {
  const plain = bytes
    .replace(CESU, (_, ...halves: string[]) => {
      const [a = 0, b = 0, c = 0, d = 0] = halves.slice(0, 4).map((half) => half.charCodeAt(0))
      const code = 0x10000 + ((a & 15) << 16) + ((b & 63) << 10) + ((c & 15) << 6) + (d & 63)
      return Buffer.from(String.fromCodePoint(code), 'utf8').toString('latin1')
    })
    .replace(JAVA_ZERO, '\0')
  try {
    return UTF8.decode(Buffer.from(plain, 'latin1'))
  } catch {
    return undefined
  }
}
