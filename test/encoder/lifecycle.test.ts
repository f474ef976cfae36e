import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import { Plan, Encoder } from '../../src/index.js'
import { busyShare } from '../event-loop.js'
import { golden } from '../golden.js'

const dist = pathToFileURL(join(import.meta.dirname, '../../dist/index.js')).href
const run = promisify(execFile)

const open: Encoder[] = []
async function load(): Promise<Encoder> {
  const encoder = await Encoder.load(golden('t5-tiny-v11'))
  open.push(encoder)
  return encoder
}
afterEach(async () => {
  await Promise.all(open.splice(0).map((encoder) => encoder.dispose()))
})

/** Work for some hundred milliseconds: `tokens` ids in one row, whose attention is quadratic. */
const long = (tokens = 2000): Parameters<Encoder['encode']>[0] => ({
  inputIds: { data: new Int32Array(tokens).fill(7), shape: [1, tokens] },
})
const short: Parameters<Encoder['encode']>[0] = {
  inputIds: { data: Int32Array.from([5, 6, 1]), shape: [1, 3] },
}

describe('the event loop', () => {
  it('is free while the engine works', async () => {
    const encoder = await load()
    await encoder.encode(long()) // first use
    expect(await busyShare(() => Promise.all([1, 2, 3].map(() => encoder.encode(long()))))).toBeLessThan(0.5)
  })
})

describe('a plan that was not taken', () => {
  it('leaves nothing behind where the switch was to release', async () => {
    const encoder = await load()
    const { weights } = encoder.memory
    const dense = Plan.dense(6)
    for (const share of [0.5, 1, 1]) {
      // 1: the load has ended, and its answer is on its way
      const abort = new AbortController()
      const switching = encoder.setPlan(dense.with({ precisions: Array<'int8'>(12).fill('int8') }), {
        release: true,
        signal: abort.signal,
        onProgress: ({ doneBytes, totalBytes }) => {
          if (doneBytes > 0 && doneBytes >= totalBytes * share) abort.abort()
        },
      })
      await expect(switching).rejects.toThrow(/abort/)
      await encoder.encode(short) // behind what the switch still does
      expect(encoder.plan.equals(dense)).toBe(true)
      expect(encoder.memory.weights).toBe(weights)
    }
  })
})

describe('concurrent calls', () => {
  it('each get their own result', async () => {
    const encoder = await load()
    const ids = Array.from({ length: 50 }, (_, i) => Int32Array.from([i + 2, i + 3, 1]))
    const alone = []
    for (const data of ids)
      alone.push((await encoder.encode({ inputIds: { data, shape: [1, 3] } })).embeddings)
    const together = await Promise.all(
      ids.map((data) => encoder.encode({ inputIds: { data, shape: [1, 3] } })),
    )
    expect(together.map(({ embeddings }) => embeddings)).toEqual(alone)
  })

  it('may come while the plan is switched, and each runs one plan from its first position to its last', async () => {
    const plans = [Plan.dense(6), Plan.skip(6, [2, 3])]
    const fresh = await load()
    const expected: unknown[] = []
    for (const plan of plans) {
      await fresh.setPlan(plan)
      expected.push((await fresh.encode(short)).embeddings)
    }
    expect(expected[0]).not.toEqual(expected[1])
    const encoder = await load()
    const calls = Array.from({ length: 20 }, async (_, i) => {
      await encoder.setPlan(plans[i % 2]!, { release: true })
      // a call runs under the plan that is in force when it is made
      const under = plans.findIndex((plan) => plan.equals(encoder.plan))
      return { under, embeddings: (await encoder.encode(short)).embeddings }
    })
    const results = await Promise.all(calls)
    expect(results.map(({ embeddings }) => embeddings)).toEqual(results.map(({ under }) => expected[under]))
    expect(new Set(results.map(({ under }) => under))).toEqual(new Set([0, 1]))
  })
})

describe('an abort signal', () => {
  it('that is aborted already rejects at once', async () => {
    const encoder = await load()
    await expect(encoder.encode(short, { signal: AbortSignal.abort() })).rejects.toThrow('aborted')
    await expect(Encoder.load(golden('t5-tiny-v11'), { signal: AbortSignal.abort() })).rejects.toThrow(
      'aborted',
    )
  })

  it('ends a running call, and the next one works', async () => {
    const encoder = await load()
    const { embeddings } = await encoder.encode(short)
    const reason = new Error('no longer needed')
    const controller = new AbortController()
    const call = encoder.encode(long(), { signal: controller.signal })
    setTimeout(() => controller.abort(reason), 5)
    await expect(call).rejects.toBe(reason)
    expect((await encoder.encode(short)).embeddings).toEqual(embeddings)
  })

  it('ends the longest row within a head, which alone takes many seconds', async () => {
    const encoder = await load()
    await expect(encoder.encode(long(65_536), { signal: AbortSignal.timeout(300) })).rejects.toThrow(
      'timeout',
    )
    const aborted = performance.now()
    await encoder.encode(short) // behind what the engine still does
    expect(performance.now() - aborted).toBeLessThan(3000)
  })

  it('ends a waiting call without waiting for its turn', async () => {
    const encoder = await load()
    const running = encoder.encode(long())
    let runningDone = false
    void running.then(() => (runningDone = true))
    const waiting = encoder.encode(short, { signal: AbortSignal.timeout(1) })
    await expect(waiting).rejects.toThrow('timeout')
    expect(runningDone).toBe(false)
    await running
  })
})

describe('dispose', () => {
  it('frees everything, once, and says how much', async () => {
    const encoder = await load()
    await encoder.encode(short)
    const { weights, workspace } = encoder.memory
    expect(await encoder.dispose()).toBe(weights + workspace)
    expect(await encoder.dispose()).toBe(weights + workspace)
    expect(encoder.memory.total).toBe(0)
  })

  it('during work ends it with ERR_DISPOSED', async () => {
    const encoder = await load()
    const { weights } = encoder.memory
    const calls = [encoder.encode(long()), encoder.encode(short), encoder.setPlan('dense')]
    const freed = encoder.dispose()
    const ends = await Promise.all(calls.map((call) => call.catch((error: unknown) => error)))
    for (const end of ends) expect(end).toMatchObject({ code: 'ERR_DISPOSED' })
    expect(await freed).toBeGreaterThanOrEqual(weights)
    expect(encoder.memory.total).toBe(0)
    await expect(encoder.encode(short)).rejects.toMatchObject({ code: 'ERR_DISPOSED' })
  })
})

describe('the end of a thread or process', () => {
  const script = (rest: string): string => `
    import { Encoder } from ${JSON.stringify(dist)}
    const encoder = await Encoder.load(${JSON.stringify(golden('t5-tiny-v11'))})
    const inputIds = { data: new Int32Array(2000).fill(7), shape: [1, 2000] }
    ${rest}`

  it('a Worker can be terminated during work, again and again', async () => {
    const source = script(`
      import { parentPort } from 'node:worker_threads'
      encoder.encode({ inputIds })
      encoder.encode({ inputIds })
      parentPort.postMessage('working')`)
    for (let i = 0; i < 5; i++) {
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`))
      await once(worker, 'message')
      await worker.terminate()
    }
  })

  it('a Worker can be terminated between calls and within them, and the process lives on', async () => {
    const source = script(`
      import { parentPort } from 'node:worker_threads'
      const again = async () => { for (;;) await encoder.encode({ inputIds: { data: new Int32Array(3), shape: [1, 3] } }) }
      again()
      again()
      parentPort.postMessage('working')`)
    for (let i = 0; i < 20; i++) {
      const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`))
      await once(worker, 'message')
      await sleep(i % 5)
      await worker.terminate()
    }
  })

  it('a process that exits during work exits', async () => {
    const source = script(`encoder.encode({ inputIds }); setTimeout(() => process.exit(7), 5)`)
    await expect(run(process.execPath, ['--input-type=module', '-e', source])).rejects.toMatchObject({
      code: 7,
    })
  })

  it('work that is waited for keeps the process alive; an idle encoder does not', async () => {
    const source = script(`encoder.encode({ inputIds }).then(() => console.log('done'))`)
    const { stdout } = await run(process.execPath, ['--input-type=module', '-e', source])
    expect(stdout).toBe('done\n')
  })
})
