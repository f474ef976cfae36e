import { expect, it } from 'vitest'
import { SearchTime } from '../../src/cli/search-time.js'

it('tells the time of the whole search, and the rest as far as it is known', () => {
  const time = new SearchTime(0, 'reuse')
  expect(time.after({ phase: 'dense', fraction: 0 }, 5_000)).toBe('5s, rest not known')
  expect(time.after({ phase: 'skip', fraction: 0 }, 10_000)).toBe('10s, rest not known')
  expect(time.after({ phase: 'skip', fraction: 0.25 }, 30_000)).toBe('30s, at least 1m00s left')
  expect(time.after({ phase: 'reuse', fraction: 0.5 }, 100_000)).toBe('1m40s, rest not known')
  expect(time.after({ phase: 'reuse', fraction: 0.75 }, 130_000)).toBe('2m10s, about 30s left')
  expect(time.after({ phase: 'refine', fraction: undefined }, 3_720_000)).toBe('1h02m, rest not known')
})

it('forgets what a journal replayed at once', () => {
  const time = new SearchTime(0, 'skip')
  time.after({ phase: 'skip', fraction: 0 }, 0)
  time.after({ phase: 'skip', fraction: 0.5 }, 1_000)
  time.after({ phase: 'skip', fraction: 0.6 }, 41_000)
  expect(time.after({ phase: 'skip', fraction: 0.7 }, 81_000)).toBe('1m21s, about 2m00s left')
})
