import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { InputError, TokenizerError } from '../../../src/index.js'
import { openTokenizer, tokenizeAll } from '../../../src/prompts/tokenizer/index.js'
import { estimateTokenizer } from '../../../src/prompts/tokenizer/memory.js'
import { TokenizerThread } from '../../../src/prompts/tokenizer/thread.js'
import { temporaryFolder } from '../../checkpoint/helpers.js'
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

describe('a tokenizer that does not answer', () => {
  /** T5's, with a normalizer that takes 2^n steps for n letters "a" and a "b". */
  async function slowModel(): Promise<string> {
    const json = JSON.parse(await readFile(join(folder, 'tokenizer.json'), 'utf8')) as Record<string, unknown>
    json.normalizer = { type: 'Replace', pattern: { Regex: '^(a+)+$' }, content: 'x' }
    const file = join(await temporaryFolder(), 'tokenizer.json')
    await writeFile(file, JSON.stringify(json))
    return file
  }
  const endless = `${'a'.repeat(60)}b`

  it('is ended after an abort; those who wait for it are served by another one', async () => {
    const file = await slowModel()
    const [one, two] = [await TokenizerThread.open(file), await TokenizerThread.open(file)]
    const abort = new AbortController()
    const stuck = one.tokenize([endless], 9, abort.signal)
    const waiting = [one.tokenize(['cat'], 9), two.tokenize(['cat'], 9)]
    setTimeout(() => abort.abort(new Error('enough')), 300)
    await expect(stuck).rejects.toThrow('enough')
    const [first, second] = await Promise.all(waiting)
    expect(first).toEqual(second)
    expect(await two.tokenize(['cat'], 9)).toEqual(first)
    await Promise.all([one.close(), two.close()])
  })

  it('is ended after 10 s, with an error for its call alone', async () => {
    const thread = await TokenizerThread.open(await slowModel())
    const stuck = thread.tokenize([endless], 9)
    const waiting = thread.tokenize(['cat'], 9)
    await expect(stuck).rejects.toThrow('tokenizer.json: found no answer for 10 s')
    await expect(stuck).rejects.toBeInstanceOf(TokenizerError)
    expect((await waiting).truncated).toEqual([false])
    await thread.close()
  })

  it('is not opened anew where its file is another one', async () => {
    const file = await slowModel()
    const thread = await TokenizerThread.open(file)
    const abort = new AbortController()
    const stuck = thread.tokenize([endless], 9, abort.signal)
    await sleep(2000)
    await writeFile(file, '{}')
    abort.abort()
    await expect(stuck).rejects.toThrow('aborted')
    await sleep(1000)
    await expect(thread.tokenize(['cat'], 9)).rejects.toThrow(
      'found another file than when the encoder was loaded',
    )
    await thread.close()
  })
})

describe('a file', () => {
  it('has one thread, however many use it, until the last one closes it', async () => {
    const threads = () => process.getActiveResourcesInfo().filter((name) => name === 'MessagePort').length
    const before = threads()
    const users = await Promise.all(Array.from({ length: 12 }, () => TokenizerThread.open(folder)))
    const calls = users.map((user) => user.tokenize(['a cat'], 9))
    expect(threads()).toBeLessThanOrEqual(before + 2)
    for (const { ids } of await Promise.all(calls)) expect(ids).toEqual([Int32Array.of(3, 9, 1712, 1)])
    await Promise.all(users.slice(1).map((user) => user.close()))
    expect((await users[0]!.tokenize(['a cat'], 9)).ids).toEqual([Int32Array.of(3, 9, 1712, 1)])
    await users[0]!.close()
  })

  it('tells what its thread holds, to all who use it, until they close it', async () => {
    const users = [await TokenizerThread.open(folder), await TokenizerThread.open(folder)] as const
    const held = users[0].memory
    expect(users[1].memory).toBe(held)
    expect(held).toBeGreaterThan(10e6)
    await users[0].tokenize(['a cat '.repeat(2000)], 9)
    expect(users[1].memory).not.toBe(held)
    expect(users[1].memory).toBeLessThan(2 * (await estimateTokenizer(folder)))
    expect(users[1].memory).toBeGreaterThan((await estimateTokenizer(folder)) / 2)
    await users[0].close()
    expect(users[0].memory).toBe(0)
    expect(users[1].memory).toBeGreaterThan(10e6)
    await users[1].close()
    expect(users[1].memory).toBe(0)
  })

  it('cannot be asked for prompts without end', async () => {
    const thread = await TokenizerThread.open(folder)
    await expect(thread.tokenize(['a'.repeat(2 ** 20 + 1)], 9)).rejects.toThrow(
      'prompts[0]: found 1048577 characters',
    )
    await expect(thread.tokenize(Array(17).fill('a'.repeat(2 ** 20)) as string[], 9)).rejects.toThrow(
      'found 17825792 characters, expected at most 16777216 in one call',
    )
    await expect(thread.tokenize(Array(2 ** 17 + 1).fill('a') as string[], 9)).rejects.toThrow(
      'found 131073 prompts',
    )
    await thread.close()
  })
})
