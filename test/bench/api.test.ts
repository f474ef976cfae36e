import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

it("times the API's calls", async () => {
  const args = ['scripts/run-ts.mjs', 'bench/api/main.ts', '--ms', '1', '--only', 'a prompt', '--json']
  const { stdout } = await promisify(execFile)(process.execPath, args)
  const rows = JSON.parse(stdout) as { name: string; median: number; calls: number }[]
  expect(rows.map(({ name }) => name)).toEqual(['tokenizer: a prompt', 'encode: a prompt'])
  for (const { median, calls } of rows) {
    expect(median).toBeGreaterThan(0)
    expect(calls).toBeGreaterThanOrEqual(10)
  }
})
