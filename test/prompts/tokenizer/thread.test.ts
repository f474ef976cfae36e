import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { InputError, TokenizerError } from '../../../src/index.js'
import { openTokenizer, tokenizeAll } from '../../../src/prompts/tokenizer/index.js'
import { TokenizerThread } from '../../../src/prompts/tokenizer/thread.js'
import { busyShare } from '../../event-loop.js'

const folder = join(import.meta.dirname, '../../data/tokenizers/t5')

describe('a tokenizer on its own thread', () => {
  let thread: TokenizerThread
  beforeAll(async () => void (thread = await TokenizerThread.open(folder)))
  afterAll(() => thread.close())

  it('tells what it is', () => {
    expect(thread).toMatchObject({ padId: 0, eosId: 1, vocab: 32100, file: join(folder, 'tokenizer.json') })
  })

  it('gives the ids the tokenizer gives, of many calls at once', async () => {
    const tokenizer = await openTokenizer(folder)
    const calls = Array.from({ length: 20 }, (_, i) => [`prompt number ${i}`, '', 'a cat made of glass'])
    const results = await Promise.all(calls.map((prompts) => thread.tokenize(prompts, 5)))
    for (const [i, prompts] of calls.entries()) {
      expect(results[i]).toEqual(await tokenizeAll(tokenizer, prompts, 5))
    }
  })

  it('does not hold up the event loop while a megabyte is tokenised', async () => {
    const work = () => thread.tokenize(['a '.repeat(500_000)], 400_000)
    expect(await busyShare(work)).toBeLessThan(0.5)
  })

  it('refuses what is no prompt and no length', async () => {
    const refused = thread.tokenize(['a', 5 as unknown as string], 9)
    await expect(refused).rejects.toThrow('prompts[1]: found number, expected a string')
    await expect(refused).rejects.toBeInstanceOf(InputError)
    for (const maxTokens of [0, 1.5, NaN, -1]) {
      await expect(thread.tokenize(['a'], maxTokens)).rejects.toThrow('maxTokens: found')
    }
  })

  it('lets go of an aborted call at once, and serves the next', async () => {
    const prompts = Array.from({ length: 100_000 }, () => 'a cat made of glass')
    await expect(thread.tokenize(prompts, 9, AbortSignal.timeout(20))).rejects.toThrow(/timeout/)
    await expect(thread.tokenize(['a'], 9, AbortSignal.abort(new Error('enough')))).rejects.toThrow('enough')
    expect((await thread.tokenize(['a cat'], 9)).ids).toEqual([Int32Array.of(3, 9, 1712, 1)])
  })
})

describe('its life', () => {
  it('begins with the error of a file that is no tokenizer', async () => {
    const opening = TokenizerThread.open(join(folder, 'special_tokens_map.json'))
    await expect(opening).rejects.toBeInstanceOf(TokenizerError)
    await expect(opening).rejects.toThrow('special_tokens_map.json')
  })

  it('may be called off', async () => {
    await expect(TokenizerThread.open(folder, AbortSignal.timeout(1))).rejects.toThrow(/timeout/)
  })

  it('ends with close(), which tells those who wait', async () => {
    const thread = await TokenizerThread.open(folder)
    const call = thread.tokenize(['a cat '.repeat(100_000)], 400_000)
    const settled = expect(call).rejects.toThrow('the tokenizer was closed')
    await thread.close()
    await settled
  })
})
