import { toUSVString } from 'node:util'
import { decodeHTMLStrict } from 'entities'
import { fixC1, fixEncoding } from './mojibake.js'

/**
 * What `fix_text` of ftfy 6.3.1 (Robyn Speer, Apache-2.0) makes of a text: entities, mojibake, ligatures, full-width forms, curly
 * quotes, line breaks and control characters, line by line, until nothing changes.
 */
export function fixText(text: string): string {
  let entities = true // once a tag was seen, what looks like an entity may be meant
  return text
    .split(/(?<=\n)/)
    .map((line) => {
      if (line.includes('<')) entities = false
      return fixLine(line, entities)
    })
    .join('')
}

function fixLine(line: string, entities: boolean): string {
  for (;;) {
    let text = entities ? unescapeEntities(line) : line
    text = fixC1(fixEncoding(text))
    text = text.replace(LIGATURE, (c) => LIGATURES.get(c)!)
    text = text.replace(/[\u3000\uff01-\uffef]/g, (c) => (c === '\u3000' ? ' ' : c.normalize('NFKC')))
    text = text.replace(/[\u201c-\u201f]/g, '"').replace(/[\u02bc\u2018-\u201b]/g, "'")
    text = toUSVString(text.replace(/\r\n|[\r\u2028\u2029\x85]/g, '\n'))
    text = text.replace(TERMINAL, '').replace(CONTROL, '').normalize('NFC')
    if (text === line) return text
    line = text
  }
}

const TERMINAL = /\x1b\[(?:\p{Nd}|;)*[a-zA-Z]/gu
const CONTROL = /[\0-\x08\x0b\x0e-\x1f\x7f\u206a-\u206f\ufeff\ufff9-\ufffc]/g

const LIGATURES = new Map([
  ['Ĳ', 'IJ'],
  ['ĳ', 'ij'],
  ['ŉ', 'ʼn'],
  ['Ǳ', 'DZ'],
  ['ǲ', 'Dz'],
  ['ǳ', 'dz'],
  ['Ǆ', 'DŽ'],
  ['ǅ', 'Dž'],
  ['ǆ', 'dž'],
  ['Ǉ', 'LJ'],
  ['ǈ', 'Lj'],
  ['ǉ', 'lj'],
  ['Ǌ', 'NJ'],
  ['ǋ', 'Nj'],
  ['ǌ', 'nj'],
  ['ﬀ', 'ff'],
  ['ﬁ', 'fi'],
  ['ﬂ', 'fl'],
  ['ﬃ', 'ffi'],
  ['ﬄ', 'ffl'],
  ['ﬅ', 'ſt'],
  ['ﬆ', 'st'],
])
const LIGATURE = new RegExp(`[${[...LIGATURES.keys()].join('')}]`, 'g')

/** Entities that end in a semicolon, and all-caps ones of those in small letters. */
const unescapeEntities = (text: string): string =>
  text.replace(/&#?[0-9A-Za-z]{1,24};/g, (entity) => {
    const known = decodeHTMLStrict(entity)
    if (known !== entity) return entity.startsWith('&#') && known.includes(';') ? entity : known
    if (entity.startsWith('&#') || entity !== entity.toUpperCase()) return entity
    const small = decodeHTMLStrict(entity.toLowerCase())
    return small === entity.toLowerCase() ? entity : small.toUpperCase()
  })
