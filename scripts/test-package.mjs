// The package as its users get it: packed, installed from the tarball in a folder outside the checkout, and
// examples/service.mjs run on it. 50 requests at once must all be answered, rightly, while the event loop of the service
// is never late by 20 ms (or --late MS). Needs a build, and the npm registry or a cache that knows the dependencies.
import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { t5Architecture, T5_V11_DEMO_SIZES } from '../dist/families/t5.js'
import { writeSynthetic } from '../dist/export/synthetic.js'
import { Encoder } from '../dist/index.js'

const REQUESTS = 50
/** `--late MS`: a machine that others use too needs more than the 20 ms a service is held to. */
const LATE_MS = Number(parseArgs({ options: { late: { type: 'string', default: '20' } } }).values.late)
/** Other programs on the machine only make the loop later, so the best of a few runs of the service counts. */
const ATTEMPTS = 4

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const folder = mkdtempSync(join(tmpdir(), 'skrr-package-'))
const model = join(folder, 'model')
const npm = (cwd, ...args) =>
  execFileSync('npm', args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] })

function install() {
  const packed = JSON.parse(npm(root, 'pack', '--json', '--ignore-scripts', '--pack-destination', folder))[0]
  const strays = packed.files.filter(
    ({ path }) =>
      !/^(dist|prebuilds|examples|vocabularies)\/|^(docs\/)?\w+\.md$|^bench\/results\/[\w-]+\.(md|svg|json)$|^(package\.json|LICENSE)$/.test(
        path,
      ),
  )
  assert.deepEqual(strays, [], 'the tarball holds files that users do not need')
  assert.deepEqual(
    deadLinks(packed.files.map(({ path }) => path)),
    [],
    'links of pages in the tarball lead nowhere',
  )
  writeFileSync(join(folder, 'package.json'), '{ "private": true }')
  npm(
    folder,
    'install',
    '--prefer-offline',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    join(folder, packed.filename),
  )
  copyFileSync(join(root, 'examples/service.mjs'), join(folder, 'service.mjs'))
  console.log(
    `packed and installed: ${packed.filename}, ${(packed.size / 1e6).toFixed(2)} MB, ${packed.files.length} files`,
  )
}

/** Links between packed pages, to files that are not packed. */
function deadLinks(paths) {
  const pages = paths.filter((path) => path.endsWith('.md'))
  return pages.flatMap((page) =>
    [...readFileSync(join(root, page), 'utf8').matchAll(/\]\(([^)#:]+)(?:#[^)]*)?\)/g)]
      .map(([, path]) => join(dirname(page), path))
      .filter(
        (path) => !paths.includes(path.replace(/\/$/, '')) && !paths.some((file) => file.startsWith(path)),
      )
      .map((path) => `${page}: ${path}`),
  )
}

/** A bundle runs where it keeps skrr external, and says so where it does not. */
function checkBundles() {
  npm(folder, 'install', '--prefer-offline', '--no-audit', '--no-fund', '--loglevel=error', 'esbuild@0.25.12')
  writeFileSync(
    join(folder, 'entry.mjs'),
    `import { Encoder } from 'skrr'
    Encoder.load(${JSON.stringify(model)}).then(
      (encoder) => encoder.dispose().then(() => console.log('loaded')),
      (error) => console.log(error.code, error.message),
    )`,
  )
  const bundled = (format, ...options) => {
    const out = `out.${format === 'cjs' ? 'cjs' : 'mjs'}`
    const args = ['entry.mjs', '--bundle', '--platform=node', `--format=${format}`, `--outfile=${out}`]
    execFileSync('npx', ['esbuild', ...args, '--log-level=error', ...options], {
      cwd: folder,
      stdio: 'inherit',
    })
    return execFileSync(process.execPath, [out], { cwd: folder, encoding: 'utf8' })
  }
  assert.equal(bundled('esm', '--external:skrr'), 'loaded\n')
  for (const format of ['esm', 'cjs']) {
    assert.match(bundled(format), /^ERR_DEVICE skrr is part of a bundle.*esbuild --external:skrr/)
  }
  console.log('bundles: run with skrr external, else say so')
}

/** TypeScript finds the types, however a project resolves modules. */
function checkTypes() {
  writeFileSync(
    join(folder, 'use.ts'),
    `import { Encoder } from 'skrr'
    export const width = async (): Promise<number> => (await Encoder.load('x')).architecture.width`,
  )
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  for (const [module, resolution, ...more] of [
    ['commonjs', 'node10', '--ignoreDeprecations', '6.0'],
    ['nodenext', 'nodenext'],
    ['node20', 'node16'],
    ['esnext', 'bundler'],
  ]) {
    const args = ['--noEmit', '--strict', '--skipLibCheck', '--target', 'es2022']
    execFileSync(
      process.execPath,
      [tsc, ...args, '--module', module, '--moduleResolution', resolution, ...more, 'use.ts'],
      { cwd: folder, stdio: 'inherit' },
    )
  }
  console.log('types: found by node10, node16, nodenext and bundler')
}

/** Starts the service and resolves to its address once it listens. */
async function start() {
  const env = { ...process.env, PORT: '0' }
  const service = spawn(process.execPath, ['service.mjs', model], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  for await (const line of createInterface(service.stdout)) {
    const port = /listening on (\d+)/.exec(line)?.[1]
    if (port) return { service, address: `http://127.0.0.1:${port}` }
  }
  throw new Error('the service ended before it listened')
}

async function ask(address, prompt) {
  const response = await fetch(`${address}/embeddings`, { method: 'POST', body: prompt })
  assert.equal(response.status, 200, `${prompt}: ${response.statusText}`)
  const embeddings = new Float32Array(await response.arrayBuffer())
  return { embeddings, shape: response.headers.get('x-shape') }
}

const prompts = readFileSync(join(root, 'test/data/prompts/dpg.txt'), 'utf8').split('\n').slice(0, REQUESTS)

/** A fresh service, all requests at once: the answers, and how late its event loop was at most. */
async function burst() {
  const { service, address } = await start()
  try {
    const answers = await Promise.all(prompts.map((prompt) => ask(address, prompt)))
    const { maxMs } = await (await fetch(`${address}/delay`)).json()
    return { answers, maxMs }
  } finally {
    service.kill()
  }
}

async function checkAnswers(answers) {
  const encoder = await Encoder.load(model)
  for (const [i, prompt] of prompts.entries()) {
    const { embeddings, shape } = await encoder.encode(prompt)
    assert.equal(answers[i].shape, shape.slice(1).join())
    assert.deepEqual(answers[i].embeddings, embeddings, `${prompt}: another embedding than alone`)
  }
  await encoder.dispose()
}

async function checkService() {
  const late = []
  while (late.length < ATTEMPTS && !(Math.min(...late) < LATE_MS)) {
    const { answers, maxMs } = await burst()
    await checkAnswers(answers)
    late.push(maxMs)
  }
  const times = late.map((ms) => ms.toFixed(1)).join(', ')
  console.log(`service: ${REQUESTS} requests at once answered; event loop late by at most ${times} ms`)
  assert.ok(Math.min(...late) < LATE_MS, `the event loop was late by ${times} ms, allowed are ${LATE_MS}`)
}

try {
  await writeSynthetic(
    model,
    t5Architecture({ ...T5_V11_DEMO_SIZES, blocks: 4, width: 512, heads: 8, ff: 1024 }),
    {
      dtype: 'BF16',
      seed: 1,
      tokenizerFrom: join(root, 'test/data/tokenizers/t5'),
    },
  )
  install()
  checkTypes()
  checkBundles()
  await checkService()
} finally {
  rmSync(folder, { recursive: true })
}
