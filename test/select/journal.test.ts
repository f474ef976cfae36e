import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { Encoder } from '../../src/encoder.js'
import { selectPlan, type SelectOptions, type Selection } from '../../src/select/index.js'
import { GOLDEN, rejection, temporaryFolder } from '../checkpoint/helpers.js'
import { MODEL, SKRR } from './harness.js'

const options: SelectOptions = { target: { skipCount: 5 }, chunkTokens: 12, method: 'paper' }

async function load(path = MODEL): Promise<Encoder> {
  const encoder = await Encoder.load(path, { precision: 'f32', threads: 1 })
  onTestFinished(() => encoder.dispose().then(() => undefined))
  return encoder
}

async function calibration() {
  const ids = (await readTensors(join(SKRR, 'inputs.safetensors'))).get('calibration.input_ids')!
  return { inputIds: { data: ids.data as Int32Array, shape: ids.shape } }
}

const search = async (encoder: Encoder, more: Partial<SelectOptions> = {}): Promise<Selection> =>
  selectPlan(encoder, await calibration(), { ...options, ...more })

/** The journal of a search that was stopped in its fourth step. */
async function stoppedJournal(encoder: Encoder): Promise<string> {
  const journal = join(await temporaryFolder(), 'plan.json.journal')
  const controller = new AbortController()
  const stopped = search(encoder, {
    journal,
    signal: controller.signal,
    onProgress: ({ plan }) => {
      if (plan.skipped().length === 4) controller.abort(new Error('stopped'))
    },
  })
  await expect(stopped).rejects.toThrow('stopped')
  return journal
}

describe('the journal of a search', () => {
  it('lets it go on where it stopped, to the identical plan, with less work', async () => {
    const encoder = await load()
    const whole = await search(encoder)
    const journal = await stoppedJournal(encoder)
    const resumed = await search(encoder, { journal, resume: true })
    expect(resumed.plan.stringify()).toBe(whole.plan.stringify())
    expect(resumed.work.executed).toBeLessThan(0.8 * whole.work.executed)
  })

  it('is good up to any byte at which the process was killed', async () => {
    const encoder = await load()
    const whole = (await search(encoder)).plan.stringify()
    const bytes = await readFile(await stoppedJournal(encoder))
    const cut = join(await temporaryFolder(), 'cut')
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: bytes.length }), async (length) => {
        await writeFile(cut, bytes.subarray(0, length))
        expect((await search(encoder, { journal: cut, resume: true })).plan.stringify()).toBe(whole)
      }),
      { numRuns: 6, examples: [[0], [20], [bytes.length - 1]] },
    )
  })

  it('survives kill -9', async () => {
    const journal = join(await temporaryFolder(), 'journal')
    const script = join(import.meta.dirname, 'killed-search.ts')
    const run = join(import.meta.dirname, '../../scripts/run-ts.mjs')
    const child = spawn(process.execPath, [run, script, journal], { stdio: 'ignore' })
    const exited = once(child, 'exit')
    while (((await stat(journal).catch(() => undefined))?.size ?? 0) < 1000) await setTimeout(20)
    child.kill('SIGKILL')
    await exited
    const encoder = await load()
    const resumed = await search(encoder, { journal, resume: true })
    expect(resumed.plan.stringify()).toBe((await search(encoder)).plan.stringify())
  })

  it('is deleted when the plan is where it stays, not before', async () => {
    const journal = join(await temporaryFolder(), 'journal')
    let there = false
    await selectPlan(await load(), await calibration(), {
      ...options,
      journal,
      onResult: async () => {
        there = (await stat(journal)).isFile()
      },
    })
    expect(there).toBe(true)
    await expect(stat(journal)).rejects.toThrow('ENOENT')
  })

  it('is refused, with the reason, by a search with other options, prompts or another model', async () => {
    const encoder = await load()
    const journal = await stoppedJournal(encoder)
    const before = await readFile(journal)
    const resume = { journal, resume: true }
    await expect(search(encoder, { ...resume, beams: 2 })).rejects.toThrow(/another set of options/)
    const other = await calibration()
    other.inputIds.data[3]! += 1
    await expect(selectPlan(encoder, other, { ...options, ...resume })).rejects.toThrow(
      /another calibration set/,
    )
    const otherModel = await load(join(GOLDEN, 't5-tiny-v10'))
    await expect(search(otherModel, resume)).rejects.toThrow(/another model/)
    expect(await readFile(journal)).toEqual(before)
  })

  it('is not written over by a search that does not go on with it', async () => {
    const encoder = await load()
    const journal = await stoppedJournal(encoder)
    await expect(search(encoder, { journal })).rejects.toThrow(/did not end.*resume/)
  })

  it('that is none is refused', async () => {
    const folder = await temporaryFolder()
    const journal = join(folder, 'notes.txt')
    await writeFile(journal, 'shopping list\n')
    const resume = { resume: true }
    await expect(search(await load(), { journal, ...resume })).rejects.toThrow(/no journal of a search/)
    await expect(search(await load(), { journal: folder, ...resume })).rejects.toThrow(/no regular file/)
  })

  it('of another version is refused, and what to run is said', async () => {
    const journal = join(await temporaryFolder(), 'journal')
    await writeFile(
      journal,
      '{"format":"skrr-journal","version":1,"model":"m","calibration":"c","options":"o"}\n',
    )
    await expect(search(await load(), { journal, resume: true })).rejects.toThrow(
      /version: found 1, expected 2.*Delete it, and run the same command without `resume` \(CLI: --resume\)/,
    )
  })

  it('on a full disk ends the search with a clear error, and what was written stays valid', async () => {
    const encoder = await load()
    const journal = join(await temporaryFolder(), 'journal')
    const handle = await open(join(await temporaryFolder(), 'any'), 'w')
    const prototype = Object.getPrototypeOf(handle) as typeof handle
    await handle.close()
    // the disk is full after some writes; the clock runs fast, so that there are many writes
    let room = 5
    vi.spyOn(prototype, 'appendFile').mockImplementation(function (this: typeof handle, data) {
      if (room-- > 0) return this.writeFile(data)
      return Promise.reject(Object.assign(new Error('write'), { code: 'ENOSPC' }))
    })
    let now = 0
    vi.spyOn(Date, 'now').mockImplementation(() => (now += 600))
    const { message } = await rejection(search(encoder, { journal }))
    vi.restoreAllMocks()
    expect(message).toMatch(/the disk is full.*--resume/)
    const resumed = await search(encoder, { journal, resume: true })
    expect(resumed.plan.stringify()).toBe((await search(encoder)).plan.stringify())
  })
})
