// Runs a TypeScript file of this checkout against src/, without a build: node scripts/run-ts.mjs bench/selection-work.ts ...
// vite comes with vitest; Node 20 itself does not read TypeScript.
import { resolve } from 'node:path'
import { runnerImport } from 'vite'

const file = resolve(process.argv[2] ?? '')
process.argv.splice(1, 2, file)
await runnerImport(file, { logLevel: 'warn' })
