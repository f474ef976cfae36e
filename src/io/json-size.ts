/** What a string costs beside its characters, which are copied fast. */
const STRING = 16

/**
 * Whether parsing a JSON text is short work: the characters outside strings, and STRING for each string, are at most `limit`. It
 * looks at no more than it must, and jumps over strings: 6 MB of base64 in one string are short work.
 */
export function isSmallJson(text: string, limit: number): boolean {
  let work = 0
  for (let at = 0; at < text.length;) {
    const open = text.indexOf('"', at)
    work += (open < 0 ? text.length : open) - at + STRING
    if (work > limit) return false
    if (open < 0) return true
    at = stringEnd(text, open)
  }
  return true
}

/** One past the closing quote of the string that opens at `start`; the text's length where none closes it. */
export function stringEnd(text: string, start: number): number {
  for (let close = text.indexOf('"', start + 1); close >= 0; close = text.indexOf('"', close + 1)) {
    let before = close
    while (text[before - 1] === '\\') before--
    if ((close - before) % 2 === 0) return close + 1
  }
  return text.length
}
