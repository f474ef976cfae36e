const PAIRS: readonly (readonly [string, string])[] = [
  ["'", "'"],
  ['"', '"'],
  ['‘', '’'],
  ['“', '”'],
]
const QUOTED = PAIRS.map(([open, close]) => `${open}[^${open}${close}]*?${close}`).join('|')
const IN_WORD = /[a-zA-Z]+'[a-zA-Z]+/g

/**
 * A prompt in parts, quoted ones with their quotes; an apostrophe within a word is none (longcat_image/pipeline_longcat_image.py,
 * split_quotation, which hides such words behind placeholders while it splits).
 */
export function splitQuotes(prompt: string): { text: string; quoted: boolean }[] {
  const words = [...new Set(prompt.match(IN_WORD) ?? [])]
  // a private character each: none of them is a quote
  const hidden = (i: number): string => String.fromCodePoint(0xf0000 + i)
  const plain = words.reduce((text, word, i) => text.replaceAll(word, hidden(i)), prompt)
  const shown = (text: string): string => words.reduce((t, word, i) => t.replaceAll(hidden(i), word), text)
  const isQuoted = new RegExp(`^(?:${QUOTED})`)
  return plain
    .split(new RegExp(`(${QUOTED})`))
    .filter((part) => part !== '')
    .map((part) => ({ text: shown(part), quoted: isQuoted.test(part) }))
}
