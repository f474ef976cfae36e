import { show } from '../io/show.js'
import { decodeHTML } from 'entities'
import { InputError } from '../errors.js'
import type { Call } from '../pipelines/types.js'
import { fixText } from './fix-text.js'

/** How pipelines of diffusers clean prompts. Python's patterns are written for JavaScript by py(). */

/** Python's `\s`, `\d`, `\w` and `\b` in Unicode; a group behind `\b` needs no capture. */
const SPACE = String.raw`\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000`
const WORD = String.raw`\p{L}\p{N}_`
const EDGE = `(?:(?<=[${WORD}])(?![${WORD}])|(?<![${WORD}])(?=[${WORD}]))`

function py(pattern: string): RegExp {
  const outside = (escape: string): string =>
    ({
      s: `[${SPACE}]`,
      S: `[^${SPACE}]`,
      d: String.raw`\p{Nd}`,
      D: String.raw`\P{Nd}`,
      w: `[${WORD}]`,
      b: EDGE,
    })[escape] ?? `\\${escape}`
  const inside = (escape: string): string =>
    ({ s: SPACE, d: String.raw`\p{Nd}`, w: WORD, S: `\\S`, W: `\\W` })[escape] ?? `\\${escape}`
  const translated = pattern.replace(/\[(?:\\.|[^\]\\])*\]|\\(.)/g, (part, escape: string | undefined) =>
    escape === undefined ? part.replace(/\\(.)/g, (_, e: string) => inside(e)) : outside(escape),
  )
  return new RegExp(translated, 'gu')
}

const RUNS_OF_SPACE = py(String.raw`\s+`)
const strip = (text: string): string => text.replace(AROUND, '')
const AROUND = new RegExp(`^[${SPACE}]+|[${SPACE}]+$`, 'g')
/** html.unescape, twice. */
const unescape = (text: string): string => decodeHTML(decodeHTML(text))

/** wan/pipeline_wan.py, prompt_clean: with ftfy, which diffusers takes where it is installed. */
export const promptClean = (prompt: string): string =>
  strip(strip(unescape(fixText(prompt))).replace(RUNS_OF_SPACE, ' '))

/** pixart_alpha/pipeline_pixart_sigma.py, _text_preprocessing: small letters, or the long cleaning, twice. */
export async function captionOf(prompt: string, { args }: Pick<Call, 'args'>): Promise<string> {
  const { clean_caption: clean } = args
  if (clean === undefined || clean === null || clean === false) return strip(lower(prompt))
  if (clean === true) return await captionClean(await captionClean(prompt))
  throw new InputError({ field: 'clean_caption', found: show(clean), expected: 'true or false' })
}

const lower = (text: string): string => text.toLowerCase()

/** The text of HTML, without its tags. Only this cleaning needs the parser. */
async function textOfHtml(html: string): Promise<string> {
  const { default: domino } = await import('@mixmark-io/domino')
  const { body } = domino.createDocument() as { body: { innerHTML: string; textContent: string | null } }
  body.innerHTML = html
  return body.textContent ?? ''
}

/** Pairs of a pattern and what it becomes, in order. */
type Rules = readonly (readonly [RegExp, string])[]
const apply = (text: string, rules: Rules): string =>
  rules.reduce((t, [pattern, by]) => t.replace(pattern, by), text)

/** urllib's unquote_plus. Bytes that are no UTF-8 become U+FFFD. */
const unquote = (text: string): string =>
  text
    .replaceAll('+', ' ')
    .replace(/(?:%[0-9a-fA-F]{2})+/g, (hex) => Buffer.from(hex.replaceAll('%', ''), 'hex').toString('utf8'))

const DOMAIN = String.raw`[a-zA-Z0-9.\-]+[.](?:com|co|ru|net|org|edu|gov|it)[\w/-]*\b\/?(?!@)`
const DASHES =
  /[\u002D\u058A\u05BE\u1400\u1806\u2010-\u2015\u2E17\u2E1A\u2E3A\u2E3B\u2E40\u301C\u3030\u30A0\uFE31\uFE32\uFE58\uFE63\uFF0D]+/g
const CJK = /[\u31c0-\u31ff\u3200-\u9fff]+/g
const FILES = 'png|jpg|jpeg|bmp|webp|eps|pdf|apk|mp4'

const START: Rules = [
  [py(String.raw`@[\w\d]+\b`), ''],
  [CJK, ''],
  [DASHES, '-'],
]
const MIDDLE: Rules = [
  [/&quot;?/g, ''],
  [/&amp/g, ''],
  [py(String.raw`\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}`), ' '],
  [py(String.raw`\d:\d\d\s+$`), ''],
  [/\\n/g, ' '],
  [py(String.raw`#\d{1,3}\b`), ''],
  [py(String.raw`#\d{5,}\b`), ''],
  [py(String.raw`\b\d{6,}\b`), ''],
  [py(String.raw`\S+\.(?:${FILES})`), ''],
  [/["']{2,}/g, '"'],
  [/\.{2,}/g, ' '],
  [/[#®•©™&@·º½¾¿¡§~)(\][}{|\\/*]+/g, ' '],
  [py(String.raw`\s+\.\s+`), ' '],
]
const END: Rules = [
  [py(String.raw`\b[a-zA-Z]{1,3}\d{3,15}\b`), ''],
  [py(String.raw`\b[a-zA-Z]+\d+[a-zA-Z]+\b`), ''],
  [py(String.raw`\b\d+[a-zA-Z]+\d+\b`), ''],
  [py(String.raw`(worldwide\s+)?(free\s+)?shipping`), ''],
  [py(String.raw`(free\s)?download(\sfree)?`), ''],
  [py(String.raw`\bclick\b\s(?:for|on)\s\w+`), ''],
  [py(String.raw`\b(?:${FILES})(\simages?)?`), ''],
  [py(String.raw`\bpage\s+\d+\b`), ''],
  [py(String.raw`\b\d*[a-zA-Z]+\d+[a-zA-Z]+\d+[a-zA-Z\d]*\b`), ' '],
  [py(String.raw`\b\d+\.?\d*[xх×]\d+\.?\d*\b`), ''],
  [py(String.raw`\b\s+:\s+`), ': '],
  [py(String.raw`(\D[,\.\/])\b`), '$1 '],
  [RUNS_OF_SPACE, ' '],
]
const LAST: Rules = [
  [/^["']([^]+)["']$/gu, '$1'],
  [/^['_,\-:;]/g, ''],
  [/['_,\-:+]$/g, ''],
  [py(String.raw`^\.\S+$`), ''],
]

/** Where there are more than three, they stand for spaces. */
const withoutJoints = (text: string): string =>
  (text.match(/[-_]/g) ?? []).length > 3 ? text.replace(/[-_]/g, ' ') : text

/** pixart_alpha/pipeline_pixart_sigma.py, _clean_caption. */
async function captionClean(prompt: string): Promise<string> {
  let text = lower(strip(unquote(prompt))).replaceAll('<person>', 'person')
  text = apply(text, [
    [py(String.raw`\b((?:https?:(?:\/{1,3}|[a-zA-Z0-9%])|${DOMAIN}))`), ''],
    [py(String.raw`\b((?:www:(?:\/{1,3}|[a-zA-Z0-9%])|${DOMAIN}))`), ''],
  ])
  text = apply(await textOfHtml(text), [...START, [/[`´«»“”¨]/g, '"'], [/[‘’]/g, "'"], ...MIDDLE])
  text = unescape(fixText(withoutJoints(text)))
  return strip(apply(text, [...END, ...LAST]))
}

/** prx/pipeline_prx.py, TextPreprocessor.clean_text: the same without HTML, and with other quotes. */
export function prxClean(prompt: string): string {
  let text = lower(strip(unquote(prompt))).replaceAll('<person>', 'person')
  text = text.replace(py(String.raw`\b((?:https?|www):(?:\/{1,3}|[a-zA-Z0-9%])|${DOMAIN})`), '')
  text = apply(text, [...START, [/[`´«»¨]/g, '"'], ...MIDDLE])
  text = strip(unescape(fixText(withoutJoints(text))))
  return strip(apply(strip(apply(text, END)), LAST))
}
