import { execFile } from 'node:child_process'
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { temporaryFolder } from '../checkpoint/helpers.js'
import { golden } from '../golden.js'

const run = promisify(execFile)
const root = join(import.meta.dirname, '../..')

// A bundle is the library's JavaScript in another package's folder (scripts/test-package.mjs makes some with esbuild).
it('JavaScript away from its package says to keep skrr external, at first use', async () => {
  const app = await temporaryFolder()
  await mkdir(join(app, 'out'))
  await cp(join(root, 'dist'), join(app, 'out', 'js'), { recursive: true })
  await symlink(join(root, 'node_modules'), join(app, 'node_modules'))
  await writeFile(join(app, 'package.json'), '{ "name": "app", "type": "module" }')
  const code = `const { Encoder, Plan } = await import('./out/js/index.js')
    Plan.dense(2) // needs no file
    const error = await Encoder.load(${JSON.stringify(golden('t5-tiny-v11'))}).catch((error) => error)
    console.log(JSON.stringify({ code: error.code, message: error.message }))`
  const { stdout } = await run(process.execPath, ['--input-type=module', '-e', code], { cwd: app })
  const { code: found, message } = JSON.parse(stdout) as { code: string; message: string }
  expect(found).toBe('ERR_DEVICE')
  for (const way of ['--external:skrr', 'serverExternalPackages', 'externals: { skrr']) {
    expect(message).toContain(way)
  }
})
