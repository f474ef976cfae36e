import { describe, expect, it, onTestFinished } from 'vitest'
import { openCheckpoint } from '../../src/checkpoint/open.js'
import { Reports } from '../../src/io/reports.js'
import { Engine } from '../../src/native/engine.js'
import { Plan } from '../../src/plan/plan.js'
import { golden } from '../golden.js'

async function open(): Promise<Engine> {
  const checkpoint = await openCheckpoint(golden('t5-tiny-v11'))
  const engine = await Engine.open(checkpoint, { device: 'cpu', precision: 'f32', threads: 1 })
  onTestFinished(() => engine.native.dispose().then(() => undefined))
  return engine
}

describe('a loaded plan', () => {
  it('holds its weights until it is disposed, and then until the next trim', async () => {
    const engine = await open()
    const weights = (): number => engine.native.memory().weights
    const none = weights()
    const plan = await engine.loadPlan(Plan.skip(6, [0, 1]), [])
    const some = weights()
    const dense = await engine.loadPlan(Plan.dense(6), [])
    const all = weights()
    expect(all).toBeGreaterThan(some)
    await engine.native.trim()
    expect(weights()).toBe(all)
    dense.dispose()
    dense.dispose() // once is enough
    expect(weights()).toBe(all)
    await engine.native.trim()
    expect(weights()).toBe(some)
    plan.dispose()
    await engine.native.trim()
    expect(weights()).toBe(none)
  })

  it('is loaded whole although what it needs is freed at that moment', async () => {
    const engine = await open()
    const first = await engine.loadPlan(Plan.dense(6), [])
    const all = engine.native.memory().weights
    first.dispose()
    const [, second] = await Promise.all([engine.native.trim(), engine.loadPlan(Plan.dense(6), [])])
    expect(engine.native.memory().weights).toBe(all)
    second.dispose()
    const [third] = await Promise.all([engine.loadPlan(Plan.dense(6), []), engine.native.trim()])
    expect(engine.native.memory().weights).toBe(all)
    third.dispose()
  })

  it('holds nothing where its loading was aborted', async () => {
    const engine = await open()
    const none = engine.native.memory().weights
    const loading = new AbortController()
    const reports = new Reports(() => loading.abort(new Error('enough')))
    const plan = engine.loadPlan(Plan.dense(6), [loading.signal], reports)
    await expect(plan).rejects.toThrow('enough')
    // the job itself stops a moment later
    await expect.poll(() => engine.native.trim().then(() => engine.native.memory().weights)).toBe(none)
  })

  it('shares the weights of another in the same precision, named or not', async () => {
    const engine = await open()
    await engine.loadPlan(Plan.dense(6), [])
    const all = engine.native.memory().weights
    const dense = Plan.dense(6)
    await engine.loadPlan(dense.with({ precisions: dense.table.map(() => 'f32') }), [])
    expect(engine.native.memory().weights).toBe(all)
    await engine.loadPlan(dense.with({ precisions: dense.table.map(() => 'int8') }), [])
    expect(engine.native.memory().weights).toBeGreaterThan(all)
  })
})
