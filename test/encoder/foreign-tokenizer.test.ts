import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Encoder, exportCheckpoint, openCheckpoint, Plan, selectPlan } from '../../src/index.js'
import { blocksOf } from '../../src/model/parameters.js'
import { measureSimilarity } from '../../src/select/measure/similarity.js'
import { DATA, promptModel, temporaryFolder } from '../checkpoint/helpers.js'

/** A model with T5's tokenizer whose config.json says that of `</s>`. Pile-T5 says 2, and its embedding has as many rows as T5's. */
async function modelWithEnd(id: unknown): Promise<string> {
  const model = await promptModel(join(await temporaryFolder(), 'model'))
  const config = join(model, 'config.json')
  const json = JSON.parse(await readFile(config, 'utf8')) as object
  await writeFile(config, JSON.stringify({ ...json, eos_token_id: id }))
  return model
}

const PROMPTS = ['a cat', 'a dog']

describe('a tokenizer of another model', () => {
  it('is refused when prompts come, by a search too; ids are none of its business', async () => {
    await using encoder = await Encoder.load(await modelWithEnd(2))
    const message =
      /tokenizer\.json: <\/s>: found id 1, expected id 2, the eos_token_id in the config\.json of .*model\./
    for (const call of [
      () => encoder.encode('a cat'),
      () => selectPlan(encoder, PROMPTS, { target: { skipCount: 1 } }),
      () => measureSimilarity(encoder, PROMPTS),
    ]) {
      await expect(call()).rejects.toThrow(message)
      await expect(call()).rejects.toMatchObject({ code: 'ERR_TOKENIZER' })
    }
    const inputIds = { data: Int32Array.of(5, 6, 2), shape: [1, 3] } as const
    expect((await encoder.encode({ inputIds })).shape[1]).toBe(3)
  })

  it('is refused by an export of that model, which takes its own', async () => {
    const folder = await temporaryFolder()
    const checkpoint = await openCheckpoint(await modelWithEnd(2))
    await exportCheckpoint(checkpoint, Plan.dense(blocksOf(checkpoint.architecture)), join(folder, 'out'))
    await using other = await Encoder.load(join(folder, 'out'))
    await expect(other.encode('a cat')).rejects.toThrow('expected id 2')
    await using own = await Encoder.load(join(folder, 'out'), {
      tokenizer: join(DATA, 'tokenizers/pile-t5'),
    })
    expect((await own.encode('a cat')).shape[1]).toBe(3)
  })

  it.each([[[1, 2]], [null], ['1'], [undefined]])(
    'is not looked for where config.json says no one end (%j)',
    async (id) => {
      await using encoder = await Encoder.load(await modelWithEnd(id))
      expect((await encoder.encode('a cat')).shape[1]).toBe(4)
    },
  )
})
