// The pages of this repository name files that exist: in backticks (`src/encoder.ts`, or a source's name alone) and as links.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const GENERATED = /^(\.git|node_modules|dist|build|prebuilds|coverage)$/
const SOURCE = /[\w*-]\.(ts|mjs|py|cpp|h|cu|cuh|inl|cmake)$/

const folders = readdirSync(root, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !GENERATED.test(entry.name))
  .map(({ name }) => name)
const files = [
  ...readdirSync(root),
  ...folders.flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true }).map((path) => `${folder}/${path}`),
  ),
].map((path) => path.replaceAll('\\', '/'))
const names = new Set(files.map((path) => basename(path)))

/** Whether a text in backticks is meant as a file or folder of this repository. */
const isPath = (text) =>
  /^[\w.*/-]+$/.test(text) && (folders.includes(text.split('/')[0]) ? text.includes('/') : SOURCE.test(text))

function exists(text) {
  const pattern = text.replaceAll('.', '\\.').replaceAll('*', '[^/]*').replace(/\/$/, '')
  const known = text.includes('/') ? files : [...names]
  return known.some((path) => new RegExp(`^${pattern}$`).test(path))
}

const pages = files.filter(
  (path) =>
    /^([^/]+|docs\/[^/]+|examples\/[^/]+|bench\/rivals\/[^/]+)\.md$/.test(path) &&
    !path.includes('node_modules'),
)
const missing = []
for (const page of pages) {
  for (const [i, line] of readFileSync(join(root, page), 'utf8').split('\n').entries()) {
    const named = [...line.matchAll(/`([^`]+)`/g)]
      .map(([, text]) => text)
      .filter((text) => isPath(text) && !exists(text))
    const linked = [...line.matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)]
      .map(([, path]) => path)
      .filter((path) => !existsSync(join(root, dirname(page), path)))
    for (const path of [...named, ...linked]) missing.push(`${page}:${i + 1}: ${path}`)
  }
}
if (missing.length > 0) {
  console.error(`${missing.join('\n')}\n\n${missing.length} files that are named and not there`)
  process.exit(1)
}
