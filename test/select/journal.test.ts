import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import fc from 'fast-check'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { Encoder } from '../../src/encoder.js'
import { native } from '../../src/native/addon.js'
import { openLocked } from '../../src/select/measure/journal-file.js'
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

  it('is of one search alone, until kill -9, which it survives', async () => {
    const encoder = await load()
    const journal = join(await temporaryFolder(), 'journal')
    const script = join(import.meta.dirname, 'killed-search.ts')
    const run = join(import.meta.dirname, '../../scripts/run-ts.mjs')
    const child = spawn(process.execPath, [run, script, journal], { stdio: 'ignore' })
    const exited = once(child, 'exit')
    while (((await stat(journal).catch(() => undefined))?.size ?? 0) < 1000) await setTimeout(20)
    await expect(search(encoder, { journal, resume: true })).rejects.toThrow(/another search is writing/)
    child.kill('SIGKILL')
    await exited
    const resumed = await search(encoder, { journal, resume: true })
    expect(resumed.plan.stringify()).toBe((await search(encoder)).plan.stringify())
  })

  it('is refused to a second search, with resume and without', async () => {
    const encoder = await load()
    const journal = await stoppedJournal(encoder)
    const before = await readFile(journal)
    const handle = await openLocked(journal)
    for (const resume of [false, true]) {
      const { message } = await rejection(search(encoder, { journal, resume }))
      expect(message).toMatch(new RegExp(`^${journal}: another search is writing this journal`))
    }
    expect(await readFile(journal)).toEqual(before)
    await handle.close()
    await search(encoder, { journal, resume: true })
  })

  it('is taken by a search that waited for the end of another anew, not as the file that was deleted', async () => {
    const journal = join(await temporaryFolder(), 'journal')
    const first = await openLocked(journal)
    const lockFile = native().lockFile.bind(native())
    vi.spyOn(native(), 'lockFile').mockImplementationOnce(async (descriptor) => {
      await rm(journal)
      await first.close()
      return lockFile(descriptor)
    })
    const second = await openLocked(journal)
    vi.restoreAllMocks()
    expect((await second.stat()).ino).toBe((await stat(journal)).ino)
    await second.close()
  })

  it('on a file system without locks is an error', async () => {
    const journal = join(await temporaryFolder(), 'journal')
    vi.spyOn(native(), 'lockFile').mockRejectedValueOnce(new Error('No locks available'))
    const { message } = await rejection(search(await load(), { journal }))
    vi.restoreAllMocks()
    expect(message).toMatch(/journal: the journal cannot be locked: No locks available\. .*local disk/)
  })

  it('means the same where lines of two searches stand between each other', async () => {
    const encoder = await load()
    const journal = await stoppedJournal(encoder)
    const [header, ...lines] = (await readFile(journal, 'utf8')).trimEnd().split('\n')
    const isProgram = (line: string): boolean => (JSON.parse(line) as unknown[]).length === 2
    const backwards = lines.toReversed()
    const other = [...backwards.filter(isProgram), ...backwards.filter((line) => !isProgram(line))]
    const both = lines.flatMap((line, i) => [line, other[i]!])
    await writeFile(journal, [header, ...both, ''].join('\n'))
    const whole = await search(encoder)
    const resumed = await search(encoder, { journal, resume: true })
    expect(resumed.plan.stringify()).toBe(whole.plan.stringify())
    expect(resumed.work.executed).toBeLessThan(0.8 * whole.work.executed)
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

  it.each([1, 2])('of version %d is refused, and what to run is said', async (version) => {
    const journal = join(await temporaryFolder(), 'a journal')
    const header = { format: 'skrr-journal', version, model: 'm', calibration: 'c', options: 'o' }
    await writeFile(journal, `${JSON.stringify(header)}\n`)
    const encoder = await load()
    const found = `version: found ${version}, expected 3: another version of skrr wrote it. Start anew`
    await expect(search(encoder, { journal, resume: true })).rejects.toThrow(
      `${found}, without \`resume\` (CLI: --resume): rm '${journal}'`,
    )
    await expect(search(encoder, { journal })).rejects.toThrow(`${found}: rm '${journal}'`)
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
