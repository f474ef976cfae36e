/**
 * What compatibility.test.ts wants to know of a process under SKRR_CPU_ISA=portable, which is read when the addon is loaded:
 * how many numbers of each case differ in a bit, and how the stopped search goes on. Prints it as JSON.
 */
import { copyFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readTensors } from '../src/checkpoint/tensor-file.js'
import { Encoder, selectPlan, SkrrError } from '../src/index.js'
import { golden } from './golden.js'
import { CASES, encodeCase, expectedOf, v01 } from './v0.1.js'

export interface Report {
  /** By case: numbers that are not the same to the bit. */
  readonly differing: Readonly<Record<string, number>>
  readonly resumed: { readonly table: readonly (number | null)[] } | { readonly refused: string }
}

const bits = (values: Float32Array): Uint32Array =>
  new Uint32Array(values.buffer, values.byteOffset, values.length)

async function differing(): Promise<Report['differing']> {
  const counts: Record<string, number> = {}
  for (const each of CASES) {
    const [found, expected] = [bits(await encodeCase(each)), bits(await expectedOf(each))]
    counts[each.name] =
      found.length === expected.length ? found.filter((bit, i) => bit !== expected[i]).length : found.length
  }
  return counts
}

async function inputIds(file: string) {
  const { data, shape } = (await readTensors(v01('search', file))).get('input_ids')!
  return { inputIds: { data: data as Int32Array, shape } }
}

/** Goes on with a copy of the journal, since a search deletes its own. */
async function resumed(): Promise<Report['resumed']> {
  const folder = await mkdtemp(join(tmpdir(), 'skrr-test-'))
  const journal = join(folder, 'stopped.json.journal')
  await copyFile(v01('search/stopped.json.journal'), journal)
  const encoder = await Encoder.load(golden('t5-tiny-v11'), { precision: 'f32', threads: 1 })
  try {
    const { plan } = await selectPlan(encoder, await inputIds('calibration.safetensors'), {
      target: { skipCount: 4 },
      method: 'paper',
      null: await inputIds('null.safetensors'),
      journal,
      resume: true,
    })
    return { table: plan.table }
  } catch (error) {
    if (!(error instanceof SkrrError)) throw error
    return { refused: error.message }
  } finally {
    await encoder.dispose()
    await rm(folder, { recursive: true })
  }
}

console.log(JSON.stringify({ differing: await differing(), resumed: await resumed() } satisfies Report))
