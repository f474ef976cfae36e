import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { TokenizerError } from '../../../src/errors.js'
import { packInput } from '../../../src/prompts/input.js'
import { CHUNK } from '../../../src/prompts/tokenizer/chunks.js'
import { openTokenizer, type Tokenizer } from '../../../src/prompts/tokenizer/index.js'
import { TokenizerThread } from '../../../src/prompts/tokenizer/thread.js'

// 500 pieces in the form of Pile-T5's, AuraFlow's tokenizer: byte-pair encoding, bytes of what is in no piece
const folder = 'test/data/tokenizers/pile-t5'
const t5 = 'test/data/tokenizers/t5/tokenizer.json'
const files = ['tokenizer.json', 'tokenizer.model'].map((name) => join(folder, name))

let json: Tokenizer
let model: Tokenizer
beforeAll(async () => {
  ;[json, model] = (await Promise.all(files.map(openTokenizer))) as [Tokenizer, Tokenizer]
})
const ids = (tokenizer: Tokenizer, text: string) => [...tokenizer.encode(text)]

describe("Pile-T5's Llama tokenizer", () => {
  it('ends a prompt with id 2, pads with 1, and has bytes for other characters', () => {
    for (const tokenizer of [json, model]) {
      expect(tokenizer).toMatchObject({ padId: 1, eosId: 2, vocab: 500 })
      expect(ids(tokenizer, 'a cat')).toEqual([259, 336, 2])
      expect(ids(tokenizer, '')).toEqual([2])
      expect(ids(tokenizer, 'é\n')).toEqual([442, 198, 172, 13, 2])
      expect(ids(tokenizer, 'A  dog ')).toEqual([264, 442, 337, 442, 2])
    }
  })

  it('gives the same ids from tokenizer.json and tokenizer.model', () => {
    const word = fc.oneof(fc.constantFrom('sitting', 'street', 'New', ' ', '\n', '猫', '😀'), fc.string())
    const text = fc.array(word, { maxLength: 30 }).map((words) => words.join(' '))
    fc.assert(
      fc.property(text, (prompt) => {
        expect(ids(json, prompt)).toEqual(ids(model, prompt))
      }),
    )
  })

  it.each(['dog', 'dog\n', 'dog  ', ' ▁', '\n \n'])(
    'keeps each space and break of a long prompt: %j',
    (unit) => {
      // in one chunk, and in two: what follows the first is the same
      const once = `${unit} cat `.repeat(Math.floor(CHUNK / (2 * (unit.length + 5))))
      const start = ids(json, once.trimEnd()).slice(0, -1)
      const rest = ids(json, once.trim()).slice(0, -1)
      for (const tokenizer of [json, model]) {
        const long = ids(tokenizer, Array<string>(6).fill(once.trimEnd()).join(' '))
        expect(long.length).toBeGreaterThan(start.length * 5)
        expect(long.slice(0, start.length)).toEqual(start)
        expect(long.slice(-rest.length - 1)).toEqual([...rest, 2])
      }
    },
  )

  it.each<[string, (json: string) => string, string]>([
    [
      'no piece for the unknown',
      (text) => text.replace('"unk_token":"<unk>"', '"unk_token":"?!"'),
      'model.unk_token',
    ],
    ['no list of merges', (text) => text.replace('"merges":', '"melds":'), 'model.merges'],
  ])('with %s is refused', async (_, change, message) => {
    const dir = await mkdtemp(join(tmpdir(), 'skrr-llama-'))
    onTestFinished(() => rm(dir, { recursive: true }))
    await writeFile(join(dir, 'tokenizer.json'), change(readFileSync(files[0]!, 'utf8')))
    const error: unknown = await openTokenizer(dir).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(TokenizerError)
    expect(String(error)).toContain(message)
  })
})

describe('a pipeline', () => {
  const pack = async (path: string, pipeline: 'auraflow' | 'flux' | 'none') => {
    const tokenizer = await TokenizerThread.open(path)
    onTestFinished(() => tokenizer.close())
    return await packInput(
      'a cat',
      { pipeline },
      {
        vocab: 32_128,
        width: 8,
        positions: { used: false },
        padId: 0,
        tokenizer: () => tokenizer,
      },
    )
  }

  it.each(files)('auraflow takes %s', async (file) => {
    const { batch } = await pack(file, 'auraflow')
    expect(batch.tokens).toBe(256)
  })

  it('refuses the tokenizer of another model, whose ids would mean nothing', async () => {
    await expect(pack(t5, 'auraflow')).rejects.toThrow('</s>: found id 1, expected id 2')
    await expect(pack(folder, 'flux')).rejects.toThrow('</s>: found id 2, expected id 1')
    expect((await pack(t5, 'none')).batch.tokens).toBe(4)
  })
})
