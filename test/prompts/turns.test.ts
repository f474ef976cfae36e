import { setImmediate } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { tokenizeAll, type Tokenizer } from '../../src/prompts/tokenizer/index.js'

/** Takes 3 ms a prompt and counts what it was asked for. */
function slowTokenizer(): Tokenizer & { readonly seen: string[] } {
  const seen: string[] = []
  const ids = Int32Array.from([1])
  return {
    seen,
    encode: () => ids,
    *encodeSteps(text) {
      seen.push(text)
      const end = performance.now() + 3
      while (performance.now() < end);
      yield
      return ids
    },
    before: [],
    after: [1],
    padId: 0,
    padSide: 'right',
    eosId: 1,
    maxLength: undefined,
    vocab: 2,
    file: 'slow',
  }
}

async function turnsUntil(done: Promise<unknown>): Promise<number> {
  const state = { over: false, turns: 0 }
  void done.finally(() => (state.over = true))
  for (; !state.over; state.turns++) await setImmediate()
  return state.turns
}

describe('the event loop while prompts are tokenised', () => {
  it('turns between many small calls that come at once as it does within a large one', async () => {
    const prompts = Array.from({ length: 40 }, (_, i) => String(i))
    const large = tokenizeAll(slowTokenizer(), prompts, 10)
    expect(await turnsUntil(large)).toBeGreaterThanOrEqual(40)
    const shared = slowTokenizer()
    const small = Promise.all(prompts.map((prompt) => tokenizeAll(shared, [prompt], 10)))
    expect(await turnsUntil(small)).toBeGreaterThanOrEqual(40)
    expect(shared.seen).toEqual(prompts) // in the order of the calls
  })
  it('is not taken by a call that was aborted while it waited for its turn', async () => {
    const tokenizer = slowTokenizer()
    const abort = new AbortController()
    const first = tokenizeAll(tokenizer, ['first'], 10)
    const second = tokenizeAll(tokenizer, ['second'], 10, abort.signal)
    abort.abort()
    await expect(second).rejects.toThrow('aborted')
    await first
    expect(tokenizer.seen).toEqual(['first'])
  })
})
