import { JsonBudget } from '../src/checkpoint/budget.js'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { beforeAll, describe, expect, it } from 'vitest'
import { modelIdentity } from '../src/checkpoint/identity.js'
import { readHeader } from '../src/checkpoint/safetensors.js'
import { openCheckpoint, readPlan } from '../src/index.js'
import { golden } from './golden.js'
import { relativeError, TOLERANCE } from './tolerance.js'
import type { Report } from './v0.1-portable.js'
import { CASES, encodeCase, expectedOf, readJson, SHAPES, v01 } from './v0.1.js'

const budget = JsonBudget.atMost(1e9)

// Files of the version before (fixtures/v0.1) load and mean what they meant, or are refused with what to run instead.

let portable: Report

beforeAll(async () => {
  const run = join(import.meta.dirname, '../scripts/run-ts.mjs')
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [run, join(import.meta.dirname, 'v0.1-portable.ts')],
    { env: { ...process.env, SKRR_CPU_ISA: 'portable' } },
  )
  portable = JSON.parse(stdout) as Report
})

describe.each(CASES.map((each) => [each.name, each] as const))('%s', (name, each) => {
  // other processors' compilers may fuse a product and a sum into one rounding
  it.runIf(process.arch === 'x64')('gives the embeddings it gave, bit for bit, in portable code', () => {
    expect(portable.differing[name]).toBe(0)
  })

  // the weights are the same bits; an instruction set only rounds activations otherwise, at worst to int8
  it('gives them on this instruction set', async () => {
    expect(relativeError(await encodeCase(each), await expectedOf(each))).toBeLessThan(TOLERANCE.int8)
  })
})

describe('a plan file', () => {
  it.each(['plans/preset.json', 'plans/selected.json', ...SHAPES.map((shape) => `${shape}/plan.json`)])(
    '%s is read and written with all it had',
    async (file) => {
      const plan = await readPlan(v01(file))
      expect(JSON.parse(plan.stringify())).toEqual(await readJson(v01(file)))
    },
  )
})

describe('the word that names a model', () => {
  it.each(SHAPES)('is for %s what an export of it noted', async (shape) => {
    const { metadata } = await readHeader(v01(shape, 'int8/model.safetensors'), budget)
    expect(await modelIdentity(await openCheckpoint(v01(shape, 'source')))).toBe(
      metadata.get('skrr_original'),
    )
  })

  it('is what a journal noted', async () => {
    const [header] = (await readFile(v01('search/stopped.json.journal'), 'utf8')).split('\n')
    const { model } = JSON.parse(header!) as { model: string }
    expect(await modelIdentity(await openCheckpoint(golden('t5-tiny-v11')))).toBe(model)
  })
})

describe('the journal of a search that was stopped', () => {
  it('is gone on with to the plan of the whole search, or refused with what to run', async () => {
    const { resumed } = portable
    if ('refused' in resumed) expect(resumed.refused).toMatch(/stopped\.json\.journal: .*--resume/)
    else expect(resumed.table).toEqual((await readPlan(v01('search/plan.json'))).table)
  })
})
