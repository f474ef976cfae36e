import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OutputError, PlanError } from '../../src/errors.js'
import { loadPlan, readPlan, writePlan } from '../../src/plan/file.js'
import { Plan } from '../../src/plan/plan.js'
import { listPresets, resolvePreset } from '../../src/plan/presets.js'
import { t5xxl, tiny } from './models.js'

describe('presets', () => {
  it.each(listPresets().filter(({ name }) => /-[\d.]+$/.test(name)))(
    '$name has the sparsity in its name',
    ({ name }) => {
      const percent = (100 * resolvePreset(name, t5xxl).sparsity(t5xxl)).toFixed(1)
      expect(name).toBe(`pixart-sigma-${percent}`)
    },
  )

  it('pixart-sigma-41.9 is the published map: 21 sub-blocks skipped, nine of them re-used', () => {
    const plan = resolvePreset('pixart-sigma-41.9', t5xxl)
    expect(plan.reused()).toEqual({ 2: 0, 5: 7, 6: 4, 10: 12, 11: 9, 17: 19, 18: 16, 23: 21, 25: 27 })
    expect(plan.skipped()).toEqual([24, 29, 30, 37, 38, 39, 40, 42, 44, 45, 46, 47])
    expect(plan.provenance).toMatchObject({ preset: 'pixart-sigma-41.9', source: 'arXiv 2502.08690' })
  })

  it.each([
    ['sd3:3', [5, 45, 46]],
    ['flux:2', [45, 46]],
    ['pixart-sigma:4', [5, 6, 46, 47]],
    ['finercut:3', [5, 11, 46]],
    ['shortgpt:2', [20, 21, 22, 23]],
    ['dense', []],
  ])('%s skips the first of its order', (name, skipped) => {
    expect(resolvePreset(name, t5xxl).skipped()).toEqual(skipped)
  })

  it('orders name each sub-block once: the longest prefix skips as many as it says', () => {
    for (const name of ['sd3', 'flux', 'pixart-sigma', 'finercut']) {
      expect(resolvePreset(`${name}:24`, t5xxl).skipped()).toHaveLength(24)
    }
    expect(resolvePreset('shortgpt:24', t5xxl).skipped()).toHaveLength(48)
  })

  it('dense fits any model; a published order only one of its depth, and says so', () => {
    expect(resolvePreset('dense', tiny).table).toHaveLength(8)
    expect(() => resolvePreset('sd3:3', tiny)).toThrow(
      'preset sd3:3: found a model of 4 blocks (t5-4x16-h2x8-ff24-gated-gelu_tanh), expected 24 blocks',
    )
  })

  it.each([
    'sd3:0',
    'sd3:25',
    'sd3:x',
    'sd3:',
    'sd3:1.5',
    'sd3:-1',
    'nothing',
    'nothing:3',
    '',
    'toString',
    '__proto__:1',
  ])('"%s" is a PlanError', (name) => {
    expect(() => resolvePreset(name, t5xxl)).toThrow(PlanError)
  })
})

describe('plan files on disk', () => {
  let dir = ''
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'skrr-plan-'))
  })
  afterAll(() => rm(dir, { recursive: true }))

  it('are written whole, replaced whole, and read back', async () => {
    const path = join(dir, 'plan.json')
    await writePlan(path, Plan.dense(4))
    await writePlan(path, Plan.skip(4, [3]))
    expect((await readPlan(path)).skipped()).toEqual([3])
    expect(await readdir(dir)).toEqual(['plan.json'])
  })

  it('that cannot be written are an OutputError that leaves nothing behind', async () => {
    await expect(writePlan(join(dir, 'no', 'plan.json'), Plan.dense(1))).rejects.toThrow(OutputError)
    await expect(writePlan(dir, Plan.dense(1))).rejects.toThrow(OutputError) // a folder is in the way
    expect((await readdir(dirname(dir))).filter((name) => name.startsWith(`${basename(dir)}.`))).toEqual([])
  })

  it('that cannot be read are a PlanError with the path', async () => {
    await writeFile(join(dir, 'big.json'), ' '.repeat(2 ** 23 + 1))
    await writeFile(join(dir, 'latin1.json'), Buffer.from([0x7b, 0xe9, 0x7d]))
    for (const [name, why] of [
      ['big.json', 'found 8388609 bytes, expected at most 8388608'],
      ['latin1.json', 'found bytes that are not UTF-8'],
      ['none.json', 'cannot be read: there is no such file or folder'],
      ['.', 'found no regular file'],
    ] as const) {
      const path = join(dir, name)
      await expect(readPlan(path)).rejects.toThrow(PlanError)
      await expect(readPlan(path)).rejects.toThrow(`${path}: ${why}`)
    }
  })

  it('win over a preset of the same name; a name that is neither lists the presets', async () => {
    const path = join(dir, 'mine.json')
    await writePlan(path, Plan.skip(4, [1]))
    expect((await loadPlan(path, tiny)).skipped()).toEqual([1])
    expect((await loadPlan('dense', tiny)).skipped()).toEqual([])
    await expect(loadPlan(path, t5xxl)).rejects.toThrow(`${path}: table: found 8 entries, expected 48`)
    await expect(loadPlan('mine.jsn', tiny)).rejects.toThrow(
      /mine\.jsn: found neither a file nor a preset.*flux:N/,
    )
  })
})
