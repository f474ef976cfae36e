import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { HERE_BYTES, JsonBudget, MAX_JSON_BYTES, TooLargeHere } from '../../src/checkpoint/budget.js'
import { readCheckpoint } from '../../src/checkpoint/open.js'
import { CheckpointError, openCheckpoint, Plan, PlanError, readPlan } from '../../src/index.js'
import { fileWith, GOLDEN, rawTensors, rejection, temporaryFolder, writeRaw } from './helpers.js'

// What a file says must not hold up the event loop, whatever its size; and what JSON can nest must not end in a RangeError.

const MODEL = join(GOLDEN, 't5-tiny-v10')
const empty = (n: number) =>
  Array.from({ length: n }, (_, i) => ({ name: `t${i}`, dtype: 'U8', shape: [0], data: new Uint8Array(0) }))

/** The golden model in a file with so many empty tensors more. */
async function modelWith(tensors: number): Promise<string> {
  const model = (await rawTensors(join(MODEL, 'model.safetensors'))).map((t) => ({
    ...t,
    name: `text_encoders.t5xxl.transformer.${t.name}`,
  }))
  return writeRaw(join(await temporaryFolder(), 'm.safetensors'), [...model, ...empty(tensors)])
}

describe('a large header', () => {
  it('is read on a thread of its own, and gives the same checkpoint', async () => {
    const [small, large] = [await modelWith(0), await modelWith(5000)]
    const of = async (file: string) => {
      const { architecture, subBlocks } = await openCheckpoint(file)
      const lengths = subBlocks.map((tensors) =>
        Object.values(tensors).map(({ name, bytes }) => [name, bytes]),
      )
      return { architecture, lengths }
    }
    await expect(readCheckpoint(large, undefined, JsonBudget.here())).rejects.toBeInstanceOf(TooLargeHere)
    expect(await of(large)).toEqual(await of(small))
    expect(JSON.stringify(await openCheckpoint(large))).toContain('"subBlocks":"all 6"')
  })

  it('gives the errors of a small one', async () => {
    const file = join(await temporaryFolder(), 'm.safetensors')
    await writeRaw(file, empty(HERE_BYTES / 50))
    const error = await rejection(openCheckpoint(file))
    expect(error).toBeInstanceOf(CheckpointError)
    expect(error.message).toMatch(/m\.safetensors: found \d+ tensors of an unknown model \(t0, t1/)
  })

  it('can be called off', async () => {
    const file = await modelWith(5000)
    await expect(openCheckpoint(file, { signal: AbortSignal.timeout(5) })).rejects.toThrow(/timeout/)
    await expect(openCheckpoint(file, { signal: AbortSignal.abort(new Error('enough')) })).rejects.toThrow(
      'enough',
    )
  })

  it('has a limit that is felt before it is read', async () => {
    const file = join(await temporaryFolder(), 'm.safetensors')
    await writeFile(file, fileWith(' '.repeat(MAX_JSON_BYTES + 1)))
    const { message } = await rejection(openCheckpoint(file))
    expect(message).toContain(
      `found ${MAX_JSON_BYTES + 1} bytes of header or index, expected at most ${MAX_JSON_BYTES}`,
    )
  })
})

describe('a large index', () => {
  const indexed = async (json: string) => {
    const folder = join(await temporaryFolder(), 'm')
    await mkdir(folder)
    await copyFile(join(MODEL, 'config.json'), join(folder, 'config.json'))
    await writeFile(join(folder, 'model.safetensors.index.json'), json)
    return folder
  }

  it('is read on a thread of its own too, and has the same limit', async () => {
    const names = (n: number) =>
      `{"weight_map":{${Array.from({ length: n }, (_, i) => `"t${i}":"a.st"`).join()}}}`
    const folder = await indexed(names(10_000))
    await expect(readCheckpoint(folder, undefined, JsonBudget.here())).rejects.toBeInstanceOf(TooLargeHere)
    await expect(openCheckpoint(folder)).rejects.toThrow(
      'weight_map: found missing files (a.st), expected 1 shards',
    )
    await expect(openCheckpoint(await indexed(names(600_000)))).rejects.toThrow(
      `at most ${MAX_JSON_BYTES} bytes of JSON`,
    )
  })

  it('names the entry that is no file', async () => {
    for (const [shard, found] of [
      ['"../a"', '"../a"'],
      ['7', '7'],
      ['null', 'null'],
    ] as const) {
      const { message } = await rejection(openCheckpoint(await indexed(`{"weight_map":{"a":${shard}}}`)))
      expect(message).toContain(`weight_map.a: found ${found}, expected`)
    }
  })
})

describe('JSON nested 100,000 deep is an error of ours', () => {
  const deep = '['.repeat(100_000) + ']'.repeat(100_000)

  it.each([
    ['header', `{"a":${deep}}`],
    ['whole header', deep],
    ['metadata', `{"__metadata__":{"a":${deep}}}`],
    ['shape', `{"a":{"dtype":"F32","shape":${deep},"data_offsets":[0,0]}}`],
  ])('%s', async (_, header) => {
    const file = join(await temporaryFolder(), 'm.safetensors')
    await writeFile(file, fileWith(header))
    expect(await rejection(openCheckpoint(file))).toBeInstanceOf(CheckpointError)
  })

  it.each([
    ['config.json', deep],
    ['config.json', `{"model_type":${deep}}`],
    ['config.json', `{"model_type":"t5","d_model":${deep}}`],
    ['model.safetensors.index.json', deep],
    ['model.safetensors.index.json', `{"weight_map":{"a":${deep}}}`],
  ])('%s', async (name, json) => {
    const folder = await temporaryFolder()
    await writeFile(join(folder, 'config.json'), JSON.stringify({ model_type: 't5', d_model: 8 }))
    await writeFile(join(folder, name), json)
    expect(await rejection(openCheckpoint(folder))).toBeInstanceOf(CheckpointError)
  })

  it.each(['table', 'scales', 'provenance', 'compensation', 'geometry'])('%s of a plan', async (field) => {
    const file = join(await temporaryFolder(), 'plan.json')
    const nested = field === 'provenance' ? `{"a":${deep}}` : deep
    await writeFile(file, `{"format":"skrr-plan","version":1,"table":[0,1],"${field}":${nested}}`)
    expect(await rejection(readPlan(file))).toBeInstanceOf(PlanError)
  })
})

describe('a large plan', () => {
  it.each([
    ['a table', '[' + '0,'.repeat(3e6) + '0]'],
    ['strings', '[' + '"",'.repeat(2e6) + '""]'],
  ])('with %s is refused before it is parsed', (_, json) => {
    const parse = () => Plan.parse(`{"format":"skrr-plan","version":1,"table":${json}}`, 'p')
    expect(parse).toThrow(PlanError)
    expect(parse).toThrow('p: found more than 262144 characters outside of strings')
  })

  it('cannot be made of a provenance that could not be read again', () => {
    const provenance = { steps: Array.from({ length: 5000 }, (_, i) => i) }
    expect(() => new Plan([0, 1], { provenance })).toThrow(
      'provenance.steps[4998]: found more than 5000 values',
    )
  })
})
