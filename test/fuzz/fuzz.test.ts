import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { CheckpointError } from '../../src/errors.js'
import { keptFolder } from '../checkpoint/helpers.js'
import { actions } from './actions.js'
import { blame, runBatch, type Limits, type Range } from './batch.js'
import { caseOf, SCENARIOS, writeCase, type Case } from './cases.js'
import { writeSeeds } from './seeds.js'
import { judge } from './verdict.js'

describe('a case', () => {
  it('depends on its seed and number alone', () => {
    expect(caseOf(3, 17)).toEqual(caseOf(3, 17))
    const texts = Array.from({ length: 200 }, (_, number) => JSON.stringify(caseOf(3, number)))
    expect(new Set(texts).size).toBe(200)
    expect(texts).not.toContain(JSON.stringify(caseOf(4, 17)))
  })
})

describe('the seeds', () => {
  const folder = keptFolder()
  beforeAll(() => writeSeeds(join(folder(), 'seeds')))

  const unedited = SCENARIOS.flatMap((scenario) =>
    [...new Set(scenario.actions)].map((action) => ({ scenario, action })),
  )
  it.each(unedited)('$scenario.seed/$scenario.file is good: $action', async ({ scenario, action }) => {
    const nothing = { tensors: [], texts: [], bytes: [], line: 0, tokens: 5, precision: undefined }
    const one: Case = { ...nothing, scenario, action }
    const at = join(folder(), 'case')
    rmSync(at, { recursive: true, force: true })
    writeCase(join(folder(), 'seeds'), at, one)
    await actions[action](at, one)
  })
})

describe('what goes wrong is noticed:', () => {
  const limits: Limits = { ms: 1000, bytes: 512 * 2 ** 20 }
  const planted = join(import.meta.dirname, 'planted.ts')
  const batch = async (first: number, count: number) => {
    const range: Range = { seed: 1, first, count }
    const reports: number[] = []
    const ending = await runBatch('', range, limits, ({ number }) => reports.push(number), planted)
    return { reports, guilty: ending && (await blame('', range, ending, limits, planted)) }
  }

  it('nothing', async () => {
    expect(await batch(0, 3)).toEqual({ reports: [0, 1, 2], guilty: undefined })
  })

  it.each([
    ['a death', 0, { number: 3, kind: 'death', detail: expect.stringContaining('SIGSEGV') as string }],
    ['a hang', 4, { number: 6, kind: 'hang', detail: 'no answer within 20000 ms' }],
    ['growth', 7, { number: 9, kind: 'memory', detail: '600 MiB more' }],
    [
      'a death that a case before caused',
      10,
      { number: 12, kind: 'death', detail: expect.stringContaining('from 11 on') as string },
    ],
  ])('%s', async (_, first, guilty) => {
    expect((await batch(first, 6)).guilty).toEqual(guilty)
  })

  it.each<[string, unknown, string | undefined]>([
    ['an error of ours', new CheckpointError({ file: '/x/model', message: 'bad' }), undefined],
    ['another error', new TypeError('oops'), 'a foreign error'],
    ['a message that names no file', new CheckpointError({ message: 'bad' }), 'names no file'],
    ['a message without end', new CheckpointError({ file: `/x${'a'.repeat(9999)}` }), 'characters'],
  ])('%s', (_, error, failure) => {
    expect(judge(error, 'load', '/x').failure ?? 'none').toContain(failure ?? 'none')
  })
})
