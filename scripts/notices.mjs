// Writes THIRD_PARTY_NOTICES.md: the licences of what a user of skrr installs with it, and of what is compiled into its binaries.
//   node scripts/notices.mjs          writes it
//   node scripts/notices.mjs --check  fails where it is stale
// Needs node_modules/ as `npm ci` lays it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const page = join(root, 'THIRD_PARTY_NOTICES.md')

/** A dependency of the build alone, whose headers are compiled into skrr.node. */
const COMPILED_IN = ['node_modules/node-addon-api']

/** Licences that may be shipped with Apache-2.0 without more than this page. Another one is to be looked at first. */
const ALLOWED = ['0BSD', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', 'ISC', 'MIT', 'Unlicense']

/** What is in the package and of others, without being a package. `text`: the file of its licence, where it is not the package's own. */
const INCLUDED = [
  {
    name: 'CLIP, vocabulary of its tokenizer',
    version: '2021, OpenAI',
    license: 'MIT',
    text: 'vocabularies/clip/LICENSE',
  },
  { name: 'T5, vocabulary of its tokenizer', version: '2020, Google', license: 'Apache-2.0' },
  {
    name: 'ftfy, ported (src/prompts/mojibake*.ts, fix-text.ts)',
    version: '6.3.1, Robyn Speer',
    license: 'Apache-2.0',
  },
]

/** Folder by folder, as the lock file has them: also where one package is there in two versions. */
function installed() {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  return Object.entries(packages)
    .filter(([folder, { dev }]) => folder !== '' && (!dev || COMPILED_IN.includes(folder)))
    .map(([folder]) => folder)
}

function noticeOf(folder) {
  const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
  if (!ALLOWED.includes(license)) {
    throw new Error(`${folder}: found licence ${license}, expected one of ${ALLOWED.join(', ')}`)
  }
  const file = readdirSync(join(root, folder)).find((name) =>
    /^(licen[cs]e|copying)(\.(md|txt))?$/i.test(name),
  )
  const text = file === undefined ? '' : readFileSync(join(root, folder, file), 'utf8')
  return {
    name,
    version,
    license,
    text: text
      .replaceAll('\r\n', '\n')
      .replace(/[ \t]+$/gm, '')
      .trim(),
  }
}

/** One text once, under the names of all packages that have it. */
function byText(notices) {
  const groups = new Map()
  for (const notice of notices) groups.set(notice.text, [...(groups.get(notice.text) ?? []), notice])
  return [...groups]
}

function render() {
  const notices = installed()
    .map(noticeOf)
    .sort((a, b) => (a.name === b.name ? (a.version < b.version ? -1 : 1) : a.name < b.name ? -1 : 1))
  const included = INCLUDED.map(({ text, ...of }) => ({
    ...of,
    text: text ? readFileSync(join(root, text), 'utf8').trim() : '',
  }))
  const parts = included.map(({ name, version, license }) => `| ${name} | ${version} | ${license} |`)
  const rows = notices.map(({ name, version, license }) => `| ${name} | ${version} | ${license} |`)
  const texts = byText([...notices, ...included.filter(({ text }) => text !== '')]).map(([text, of]) => {
    const title = [...new Set(of.map(({ name }) => name))].join(', ')
    const body =
      text === ''
        ? `The package has no licence file. Its package.json says ${of[0].license}.`
        : `\`\`\`\n${text}\n\`\`\``
    return `### ${title}\n\n${body}`
  })
  return `<!-- Made by scripts/notices.mjs from node_modules/: run \`npm run docs\`. -->
# Third-party notices

skrr itself is under Apache-2.0 (LICENSE). npm installs these packages with it. The headers of node-addon-api are compiled into
\`skrr.node\`. \`skrr_cuda.so\` holds NVIDIA's CUDA runtime, which is linked statically, under NVIDIA's CUDA Toolkit EULA.

| package | version | licence |
|---|---|---|
${rows.join('\n')}

The package holds these itself; Apache-2.0 is in LICENSE:

| part | version, author | licence |
|---|---|---|
${parts.join('\n')}

## Texts

${texts.join('\n\n')}
`
}

const text = render()
if (!process.argv.includes('--check')) {
  writeFileSync(page, text)
} else if (readFileSync(page, 'utf8') !== text) {
  console.error('THIRD_PARTY_NOTICES.md is stale: run `npm run docs`')
  process.exit(1)
}
