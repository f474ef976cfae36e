import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { Encoder, exportCheckpoint, exportPacked, openCheckpoint, Plan, selectPlan } from '../../src/index.js'
import { writeSynthetic } from '../../src/export/synthetic.js'
import { t5Architecture } from '../../src/families/t5.js'
import { promptModel, temporaryFolder } from '../checkpoint/helpers.js'
import { golden } from '../golden.js'
import { tinySizes } from '../plan/models.js'

const MODEL = golden('t5-tiny-v11')
const ids = { inputIds: { data: Int32Array.from([5, 6, 1, 7, 8, 1]), shape: [2, 3] } }
const dense = Plan.dense(6)
const int8 = dense.with({ precisions: Array<'int8'>(12).fill('int8') })

interface Ending {
  /** Its type does not promise it, but callers without a linter give an async one. */
  onProgress?: () => void | Promise<void>
  signal?: AbortSignal
}

let encoder: Encoder
beforeAll(async () => {
  encoder = await Encoder.load(MODEL)
})
afterAll(() => encoder.dispose())

/** Every call that takes onProgress: [what, the call, which may make `folder`]. */
const CALLS: [string, (ending: Ending, folder: string) => Promise<unknown>][] = [
  ['Encoder.load', (ending) => Encoder.load(MODEL, ending)],
  ['setPlan', (ending) => encoder.setPlan(int8, { ...ending, release: true })],
  [
    'selectPlan',
    (ending) => selectPlan(encoder, ids, { target: { skipCount: 1 }, null: ids, compensate: 0, ...ending }),
  ],
  [
    'exportCheckpoint',
    async (ending, folder) => exportCheckpoint(await openCheckpoint(MODEL), dense, folder, ending),
  ],
  [
    'exportPacked',
    async (ending, folder) =>
      exportPacked(await openCheckpoint(MODEL), dense, folder, { precision: 'int8', ...ending }),
  ],
  [
    'writeSynthetic',
    (ending, folder) =>
      writeSynthetic(folder, t5Architecture(tinySizes), { dtype: 'F32', seed: 1, ...ending }),
  ],
]

/** What a caller's function may throw, such that none of it is taken for an error of ours or of a file. */
const THROWN: [string, unknown][] = [
  ['an error', new Error('the bar broke')],
  ['an error of a file', Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'write' })],
  ['an error with a code of the engine', Object.assign(new Error('mine'), { code: 'ERR_INPUT' })],
  ['a string', 'stop'],
]

describe.each(CALLS)('an onProgress that fails ends %s', (_, call) => {
  it.each(THROWN)('with %s that it threw, and leaves nothing behind', async (_, thrown) => {
    const parent = await temporaryFolder()
    const { weights } = encoder.memory
    let calls = 0
    const onProgress = (): void => {
      calls++
      throw thrown
    }
    const error: unknown = await call({ onProgress }, join(parent, 'out')).catch((error: unknown) => error)
    expect(error).toBe(thrown)
    expect(calls).toBe(1)
    expect(await readdir(parent)).toEqual([])
    await encoder.encode(ids) // behind what the engine still does
    expect(encoder.memory.weights).toBe(weights)
    expect(encoder.plan.equals(dense)).toBe(true)
  })

  it('with what its promise rejects with, also at the very end', async () => {
    const parent = await temporaryFolder()
    const late = new Error('the log is full')
    const onProgress = async (): Promise<void> => {
      await new Promise((resolve) => setTimeout(resolve, 20))
      throw late
    }
    const failing = call({ onProgress }, join(parent, 'out'))
    expect(await failing.catch((error: unknown) => error)).toBe(late)
    expect(await readdir(parent)).toEqual([])
  })

  it('but is asked no more once the caller aborted', async () => {
    const abort = new AbortController()
    const reason = new Error('enough')
    const onProgress = (): void => {
      abort.abort(reason)
      throw new Error('after the abort')
    }
    const ended = call({ onProgress, signal: abort.signal }, join(await temporaryFolder(), 'out'))
    expect(await ended.catch((error: unknown) => error)).toBe(reason)
  })
})

describe('one signal for many calls', () => {
  it('is no leak, and none of ours stays on it', async () => {
    const warnings: Error[] = []
    const note = (warning: Error): void => void warnings.push(warning)
    process.on('warning', note)
    const folder = await temporaryFolder()
    await promptModel(folder)
    const { signal } = new AbortController()
    const [added, removed] = [vi.spyOn(signal, 'addEventListener'), vi.spyOn(signal, 'removeEventListener')]
    const prompts = await Encoder.load(folder, { signal })
    const calls = Array.from({ length: 100 }, (_, i) =>
      i % 2 === 0 ? encoder.encode(ids, { signal }) : prompts.encode('a cat', { signal }),
    )
    const loads = Array.from({ length: 12 }, async () => {
      await (await Encoder.load(MODEL, { signal })).dispose()
    })
    await Promise.all([...calls, ...loads])
    await prompts.dispose()
    await new Promise((resolve) => setImmediate(resolve)) // warnings come on the next turn
    process.off('warning', note)
    expect(warnings).toEqual([])
    expect(added).toHaveBeenCalled()
    expect(removed.mock.calls.length).toBe(added.mock.calls.length)
  })

  it('ends all of them', async () => {
    const abort = new AbortController()
    const reason = new Error('no longer needed')
    const calls = Array.from({ length: 30 }, () => encoder.encode(ids, { signal: abort.signal }))
    abort.abort(reason)
    const ends = await Promise.all(calls.map((call) => call.catch((error: unknown) => error)))
    expect(ends).toEqual(Array(30).fill(reason))
  })
})
