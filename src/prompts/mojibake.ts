import { isBad, MISREAD_RUNS } from './mojibake-patterns.js'
import { decodeUtf8Variants, ENCODINGS, type Encoding } from './mojibake-encodings.js'

/**
 * Text that was read in a wrong encoding, read anew: fix_encoding of ftfy 6.3.1 (Robyn Speer, Apache-2.0), in its order of steps.
 */
export function fixEncoding(text: string): string {
  for (;;) {
    const fixed = oneStep(text)
    if (fixed === text) return text
    text = fixed
  }
}

// bytes are held as characters below U+0100
const A_GRAVE_WORD = /\xc3 (?! |quele|quela|quilo|s )/g
const ALTERED =
  /[\xc2\xc3\xc5\xce\xd0\xd9] |[\xe2\xe3] [\x80-\x84\x86-\x9f\xa1-\xbf]|[\xe0-\xe3][\x80-\x84\x86-\x9f\xa1-\xbf] |\xf0 [\x80-\xbf][\x80-\xbf]|\xf0[\x80-\xbf] [\x80-\xbf]|\xf0[\x80-\xbf][\x80-\xbf] /g
const LOSSY =
  /[\xc2-\xdf]\x1a|[\xc2-\xc3]\?|\xed[\xa0-\xaf][\x1a?]\xed[\xb0-\xbf][\x1a?\x80-\xbf]|\xed[\xa0-\xaf][\x1a?\x80-\xbf]\xed[\xb0-\xbf][\x1a?]|[\xe0-\xef][\x1a?][\x1a\x80-\xbf]|[\xe0-\xef][\x1a\x80-\xbf][\x1a?]|[\xf0-\xf4][\x1a?][\x1a\x80-\xbf][\x1a\x80-\xbf]|[\xf0-\xf4][\x1a\x80-\xbf][\x1a?][\x1a\x80-\xbf]|[\xf0-\xf4][\x1a\x80-\xbf][\x1a\x80-\xbf][\x1a?]|\x1a/g
const LOST = '\xef\xbf\xbd'

function oneStep(text: string): string {
  if (!isBad(text)) return text
  const possible: string[] = []
  for (const encoding of ENCODINGS) {
    const bytes = encoding.encode(text)
    if (bytes === undefined) continue
    possible.push(encoding.name)
    const fixed = readAnew(bytes, encoding)
    if (fixed !== undefined) return fixed
  }
  const inPlaces = text.replace(MISREAD_RUNS, (run) =>
    run.length < text.length && isBad(run) ? fixEncoding(run) : run,
  )
  if (inPlaces !== text) return inPlaces
  if (possible.includes('latin-1')) {
    const windows = possible.includes('windows-1252') ? text : asWindows(text)
    if (windows !== undefined && (windows !== text || possible.includes('windows-1252'))) return windows
  }
  return fixC1(text)
}

function readAnew(given: string, { name, sloppy }: Encoding): string | undefined {
  let bytes = given
  // in Mac's an en dash and a space would match
  if (name !== 'macroman') {
    if (new RegExp(ALTERED.source).test(bytes)) {
      bytes = bytes
        .replace(A_GRAVE_WORD, '\xc3\xa0 ')
        .replace(ALTERED, (found) => found.replaceAll(' ', '\xa0'))
    }
  }
  if (sloppy) bytes = bytes.replace(LOSSY, LOST)
  return decodeUtf8Variants(bytes)
}

const WINDOWS = new TextDecoder('windows-1252')
/** Bytes that windows-1252 does not have; Python's strict codec refuses them. */
const UNASSIGNED = /[\x81\x8d\x8f\x90\x9d]/

const asWindows = (latin: string): string | undefined =>
  UNASSIGNED.test(latin) ? undefined : WINDOWS.decode(Buffer.from(latin, 'latin1'))

/** Control characters that windows-1252 has others for. */
export const fixC1 = (text: string): string =>
  text.replace(/[\x80-\x9f]/g, (c) => WINDOWS.decode(Buffer.from(c, 'latin1')))
