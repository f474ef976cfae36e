// The words of one family of encoders stand where that family is known, and nowhere else: comments count too.
import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const WORDS = /(\b|(?<=[A-Z])|_)(u?mt5|t5|CLIP)(\b|(?=[A-Z]))|\bwi_0\b|\bencoder\.block\b/gi
/** `clip` in small letters is a verb. */
const isWord = (found) => !/^clip$/i.test(found) || found === 'CLIP'

const FOLDERS = ['src', 'engine', 'cpu', 'cuda', 'binding']

/** Files and folders that may say them. */
const ALLOWED = [
  'src/families/',
  'src/pipelines/',
  'src/prompts/tokenizer/',
  'src/checkpoint/identify.ts',
  'src/plan/presets.ts',
  'src/export/synthetic.ts',
  'src/demo/',
  'src/cli/', // help texts
]

const root = fileURLToPath(new URL('..', import.meta.url))
const files = FOLDERS.flatMap(
  (folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'))
      .filter((name) => !name.startsWith('binding/build/')), // of node-gyp
)
let found = 0
for (const file of files.filter((name) => !ALLOWED.some((allowed) => name.startsWith(allowed)))) {
  for (const [i, line] of readFileSync(join(root, file), 'utf8').split('\n').entries()) {
    for (const [word] of line.matchAll(WORDS)) {
      if (!isWord(word)) continue
      console.error(`${file}:${i + 1}: ${word}: ${line.trim()}`)
      found++
    }
  }
}
if (found > 0) {
  console.error(
    `\n${found} words that only src/families/ and the files named in scripts/check-families.mjs may say`,
  )
  process.exit(1)
}
