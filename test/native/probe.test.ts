import { execFile } from 'node:child_process'
import { chmod, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { isPlainNode } from '../../src/native/plain-node.js'
import { temporaryFolder } from '../checkpoint/helpers.js'
import { golden } from '../golden.js'

const run = promisify(execFile)
const built = (path: string): string =>
  JSON.stringify(pathToFileURL(join(import.meta.dirname, '../../dist', path)).href)

/** What an application prints whose first lines make it one of a kind. */
async function application(kind: string, code: string): Promise<unknown> {
  const folder = await temporaryFolder()
  const [app, log, library] = [join(folder, 'app.mjs'), join(folder, 'log'), join(folder, 'skrr_cuda.so')]
  await writeFile(library, 'no library')
  await writeFile(
    app,
    `import { appendFileSync } from 'node:fs'
    appendFileSync(${JSON.stringify(log)}, 'started\\n')
    ${kind}
    const { Encoder } = await import(${built('index.js')})
    ${code}`,
  )
  const self = join(folder, 'self')
  await writeFile(self, `#!/bin/sh\nexec ${process.execPath} ${app}\n`)
  await chmod(self, 0o755)
  const env = { ...process.env, SKRR_CUDA_LIBRARY: library, SELF: self }
  const { stdout } = await run(process.execPath, [app], { env })
  expect(await readFile(log, 'utf8')).toBe('started\n')
  return JSON.parse(stdout)
}

const MODEL = JSON.stringify(golden('t5-tiny-v11', 'bf16'))
const AUTO = `const { device, deviceReason } = await Encoder.load(${MODEL})
  console.log(JSON.stringify({ device, deviceReason }))
  process.exit()`
const CUDA = `const error = await Encoder.load(${MODEL}, { device: 'cuda' }).catch((error) => error)
  console.log(JSON.stringify({ code: error.code, message: error.message }))
  process.exit()`
const KINDS = [
  ['a script in the place of Node', 'process.execPath = process.env.SELF'],
  ['pkg', 'process.pkg = {}'],
  ['Electron', "Object.defineProperty(process.versions, 'electron', { value: '30.0.0' })"],
  ['Bun', "Object.defineProperty(process.versions, 'bun', { value: '1.2.0' })"],
  [
    'a single executable of Node',
    `const builtin = process.getBuiltinModule
    process.getBuiltinModule = (name) => (name === 'node:sea' ? { isSea: () => true } : builtin(name))`,
  ],
] as const

describe('an executable that is not Node alone', () => {
  it.each(KINDS)('never starts itself to try CUDA: %s', async (_, kind) => {
    expect(await application(kind, AUTO)).toEqual({
      device: 'cpu',
      deviceReason:
        "auto picked the CPU: CUDA is tried in a process of its own, and this executable is not Node alone; device 'cuda' uses it untried",
    })
  })

  it('opens device cuda by itself', async () => {
    expect(await application('process.pkg = {}', CUDA)).toMatchObject({ code: 'ERR_DEVICE' })
  })
})

describe('Node', () => {
  it('is told', () => {
    expect(isPlainNode()).toBe(true)
  })

  it('tries CUDA in a process of its own', async () => {
    expect(await application('', AUTO)).toMatchObject({
      device: 'cpu',
      deviceReason: expect.stringContaining('skrr_cuda.so') as string,
    })
  })
})
