import { stringEnd } from './json-size.js'

/**
 * JSON.parse keeps the last of two equal keys without a word, so two readers of one header could see two different tensors
 * under one name. This finds the first key that stands twice in one object of `text`, which must be valid JSON.
 */
export function firstDuplicateKey(text: string): string | undefined {
  const open: Set<string>[] = []
  let last = ''
  for (let i = 0; i < text.length; i++) {
    switch (text[i]) {
      case '"': {
        const end = stringEnd(text, i)
        last = text.slice(i, end)
        i = end - 1
        break
      }
      case ':': {
        // the same key can be spelt in two ways: "a" and "\u0061"
        const key = last.includes('\\') ? (JSON.parse(last) as string) : last.slice(1, -1)
        const keys = open.at(-1)!
        if (keys.has(key)) return key
        keys.add(key)
        break
      }
      case '{':
        open.push(new Set())
        break
      case '}':
        open.pop()
        break
    }
  }
  return undefined
}
