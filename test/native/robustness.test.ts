import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'

/** What once ended the process, tried in one of its own. */
async function run(script: string, env: NodeJS.ProcessEnv = {}): Promise<unknown> {
  const runner = join(import.meta.dirname, '../../scripts/run-ts.mjs')
  const args = [runner, join(import.meta.dirname, script)]
  const { stdout } = await promisify(execFile)(process.execPath, args, { env: { ...process.env, ...env } })
  return JSON.parse(stdout)
}

describe('threads that the system does not start', () => {
  it('reject the load with ERR_ENGINE, and the process goes on', async () => {
    const { ours, code, message } = (await run('few-threads.ts')) as Record<string, unknown>
    expect({ ours, code }).toEqual({ ours: true, code: 'ERR_ENGINE' })
    expect(message).toMatch(/^threads cannot be started: found \d+ of 1024 \(.+\)\. Ask for fewer/)
  })

  it('of Node are ERR_ENGINE too, and the next ones start', async () => {
    const message = expect.stringMatching(
      /^ERR_ENGINE: a thread cannot be started\. Raise the limit/,
    ) as string
    expect(await run('no-worker.ts')).toEqual([message, message])
  })
})

describe('an instruction set that is none, or not of this processor', () => {
  const other = process.arch === 'x64' ? 'dotprod' : 'avx2'
  it.each(['bogus', other, ''])('%j is ERR_DEVICE at every way in', async (isa) => {
    const outcomes = (await run('wrong-isa.ts', { SKRR_CPU_ISA: isa })) as Record<string, unknown>
    expect(Object.keys(outcomes).length).toBeGreaterThan(5)
    for (const [name, outcome] of Object.entries(outcomes)) {
      expect(outcome, name).toMatch(/^ERR_DEVICE: SKRR_CPU_ISA: found "\w*", expected one of .*portable/)
    }
  })
})
