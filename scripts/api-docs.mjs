// Writes docs/api.md from the docstrings of what src/index.ts exports, the error codes and the environment variables.
//   node scripts/api-docs.mjs          writes it
//   node scripts/api-docs.mjs --check  fails where it is stale
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const page = join(root, 'docs/api.md')

/** What the shipped code reads from the environment. A variable that is read and not named here is an error. */
const VARIABLES = {
  SKRR_ADDON: 'The addon to load in place of the installed one, such as a build under sanitizers.',
  SKRR_CPU_ISA:
    'The instruction set of the CPU kernels: `portable`, `avx2`, `avxvnni`, `avx512`, `avx512vnni`, `avx512bf16`, `amx` or `dotprod`. One that this processor lacks is an error. Default: the best it has.',
  SKRR_CUDA_LIBRARY: 'The `skrr_cuda.so` to open in place of the one beside the addon.',
  SKRR_CUDA_GEMM:
    '`mma` or `hopper`: every matrix product on CUDA takes this path. `hopper` is an error on other devices. Default: the faster one of each product.',
}

function* filesOf(folder) {
  for (const entry of readdirSync(join(root, folder), { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) yield join(entry.parentPath, entry.name)
  }
}

function checkVariables() {
  const read = new Set()
  for (const folder of ['src', 'engine', 'cpu', 'cuda', 'binding']) {
    for (const file of filesOf(folder)) {
      const text = readFileSync(file, 'utf8')
      if (!/process\.env|getenv/.test(text)) continue
      for (const [name] of text.matchAll(/\bSKRR_[A-Z_]+\b/g)) read.add(name)
    }
  }
  const wrong = [
    ...[...read].filter((name) => !(name in VARIABLES)).map((name) => `${name} is read and not described`),
    ...Object.keys(VARIABLES)
      .filter((name) => !read.has(name))
      .map((name) => `${name} is described and not read`),
  ]
  if (wrong.length > 0) throw new Error(`VARIABLES in scripts/api-docs.mjs: ${wrong.join('; ')}`)
}

/**
 * The declarations tsc makes of src/, by the path of their source: without bodies, and without what is marked @internal. `typeOf`
 * tells what an exported alias stands for.
 */
function declarations() {
  const { config } = ts.readConfigFile(join(root, 'tsconfig.json'), (file) => readFileSync(file, 'utf8'))
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root)
  const files = new Map()
  const program = ts.createProgram([join(root, 'src/index.ts')], {
    ...options,
    emitDeclarationOnly: true,
    outDir: join(root, 'src'),
  })
  program.emit(undefined, (file, text) => {
    if (file.endsWith('.d.ts')) files.set(file, ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true))
  })
  const checker = program.getTypeChecker()
  const symbols = checker.getExportsOfModule(
    checker.getSymbolAtLocation(program.getSourceFile(join(root, 'src/index.ts'))),
  )
  const typeOf = (name) => {
    const symbol = checker.getAliasedSymbol(symbols.find((symbol) => symbol.name === name))
    const flags = ts.TypeFormatFlags.NoTruncation | ts.TypeFormatFlags.InTypeAlias
    return checker.typeToString(checker.getDeclaredTypeOfSymbol(symbol), undefined, flags)
  }
  return { files, typeOf }
}

const { files: emitted, typeOf } = declarations()

/** The names a file exports, with their declarations, in order. */
function exportsOf(file) {
  const source = emitted.get(file)
  const found = new Map()
  const add = (name, node) => found.set(name, [...(found.get(name) ?? []), node])
  for (const statement of source.statements) {
    if (ts.isExportDeclaration(statement) && statement.moduleSpecifier) {
      const from = exportsOf(resolve(dirname(file), statement.moduleSpecifier.text.replace(/\.js$/, '.d.ts')))
      for (const { name, propertyName } of statement.exportClause.elements) {
        for (const node of from.get((propertyName ?? name).text)) add(name.text, node)
      }
    } else if (ts.isVariableStatement(statement)) {
      for (const { name } of statement.declarationList.declarations) add(name.text, statement)
    } else if (statement.name && ts.getCombinedModifierFlags(statement) & ts.ModifierFlags.Export) {
      add(statement.name.text, statement)
    }
  }
  return found
}

/** A docstring as Markdown: its text, its parameters, its errors. */
function docOf(node) {
  const tag = ({ tagName, name, comment }) => {
    const text = (ts.getTextOfJSDocComment(comment) ?? '').replace(/^- /, '').trim()
    if (tagName.text === 'throws') return `Throws ${text}`
    if (tagName.text === 'returns') return `Returns ${text}`
    return `\`${name?.text ?? tagName.text}\`: ${text}`
  }
  return ts
    .getJSDocCommentsAndTags(node)
    .filter(ts.isJSDoc)
    .flatMap((doc) => [ts.getTextOfJSDocComment(doc.comment)?.trim(), ...(doc.tags ?? []).map(tag)])
    .filter((text) => text)
    .join('\n\n')
}

/** Its code on as few lines as it needs: no docstrings, no `export declare`. */
const codeOf = (node) =>
  node
    .getText()
    .replace(/\/\*\*[\s\S]*?\*\//g, '')
    .replace(/^export (declare )?/, '')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/^(readonly|get) |;$/g, '')
    .trim()

/** A list of names that is made from a constant is written out. */
const aliasOf = (name, code) =>
  /typeof [A-Za-z_]+/.test(code) && code.startsWith('type ') ? `type ${name} = ${typeOf(name)}` : code

const isPrivate = (member) =>
  (ts.getCombinedModifierFlags(member) & ts.ModifierFlags.Private) !== 0 ||
  (member.name && ts.isPrivateIdentifier(member.name))

function members(node) {
  return node.members
    .filter((member) => !isPrivate(member))
    .map((member) => {
      const doc = docOf(member).replace(/\n+/g, '\n  ')
      return `- \`${codeOf(member)}\`${doc === '' ? '' : `\n  ${doc}`}`
    })
}

function section(name, nodes) {
  const parts = [`### ${name}`]
  for (const node of nodes) {
    const doc = docOf(node)
    if (ts.isClassDeclaration(node) || ts.isInterfaceDeclaration(node)) {
      const heritage = (node.heritageClauses ?? []).map((clause) => ` ${clause.getText()}`).join('')
      const kind = ts.isClassDeclaration(node) ? 'class' : 'interface'
      const parameters = node.typeParameters
        ? `<${node.typeParameters.map((p) => p.getText()).join(', ')}>`
        : ''
      parts.push(`\`${kind} ${node.name.text}${parameters}${heritage}\``, doc, members(node).join('\n'))
    } else {
      parts.push(`\`\`\`ts\n${aliasOf(name, codeOf(node))}\n\`\`\``, doc)
    }
  }
  return parts.filter((part) => part !== '').join('\n\n')
}

/** Rows of the union ErrorCode, each with the comment that follows it on its line. */
function errorCodes() {
  const text = readFileSync(join(root, 'src/errors.ts'), 'utf8')
  const rows = [...text.matchAll(/^ {2}\| '(ERR_\w+)' \/\/ (.*)$/gm)]
  if (rows.length === 0) throw new Error('src/errors.ts: no error codes were found')
  return rows.map(([, code, meaning]) => `| \`${code}\` | ${meaning} |`).join('\n')
}

function render() {
  const exported = exportsOf(join(root, 'src/index.d.ts'))
  const sections = [...exported].map(([name, nodes]) => section(name, nodes))
  return `<!-- Made by scripts/api-docs.mjs from the docstrings of src/: edit those. -->
# API

All that \`import ... from 'skrr'\` gives, in the order of \`src/index.ts\`. Paths in parentheses are files of the repository.

[Error codes](#error-codes), [environment variables](#environment-variables).

## Exports

${sections.join('\n\n')}

## Error codes

\`code\` of a \`SkrrError\`. It is stable; messages are not.

| code | meaning |
|---|---|
${errorCodes()}

An aborted call rejects with its signal's reason, and one whose \`onProgress\` throws with what that threw.

The command \`skrr\` ends with exit code 0, with 1 for an error, and with 128 + n where signal n ended it (130 Ctrl-C, 143 SIGTERM,
129 SIGHUP). An error is a line on stderr; with \`--json\` it is
\`{ error: { code, message, file?, field?, found?, expected?, hint? } }\` on stdout.

## Environment variables

| variable | meaning |
|---|---|
${Object.entries(VARIABLES)
  .map(([name, meaning]) => `| \`${name}\` | ${meaning} |`)
  .join('\n')}
`
}

checkVariables()
const text = render()
if (!process.argv.includes('--check')) {
  writeFileSync(page, text)
} else if (readFileSync(page, 'utf8') !== text) {
  console.error('docs/api.md is stale: run `npm run docs`')
  process.exit(1)
}
