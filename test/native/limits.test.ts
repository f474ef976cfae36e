import { describe, expect, it } from 'vitest'
import { openCheckpoint } from '../../src/checkpoint/open.js'
import { native, type NativeSpec } from '../../src/native/addon.js'
import { nativeSpec } from '../../src/native/spec.js'
import { golden } from '../golden.js'

// The binding believes no number that sizes memory, although src/ has checked them all.

const spec = nativeSpec(await openCheckpoint(golden('t5-tiny-v10')))

/** The spec with one value changed, by its path. */
function changed(path: string, value: unknown): NativeSpec {
  const copy = structuredClone(spec)
  const keys = path.split('.')
  const last = keys.pop()!
  const parent = keys.reduce(
    (part, key) => part[key] as Record<string, unknown>,
    copy as unknown as Record<string, unknown>,
  )
  parent[last] = value
  return copy
}
const open = (given: NativeSpec): unknown =>
  native().open(given, { device: 'cpu', threads: 1 }, new (native().CancelToken)())

const ATTENTION = 'architecture.subBlocks.0'
const FEED_FORWARD = 'architecture.subBlocks.1'
const integers: [string, string][] = [
  ['architecture.width', 'width'],
  ['architecture.input.vocab', 'vocab'],
  [`${ATTENTION}.heads`, 'heads'],
  [`${ATTENTION}.keyHeads`, 'keyHeads'],
  [`${ATTENTION}.headDim`, 'headDim'],
  [`${ATTENTION}.distance.buckets.count`, 'count'],
  [`${ATTENTION}.distance.buckets.max`, 'max'],
  [`${ATTENTION}.distance.ahead`, 'ahead'],
  [`${ATTENTION}.distance.back`, 'back'],
  [`${FEED_FORWARD}.inner`, 'inner'],
  ['fixed.embedding.rows', 'rows'],
  ['fixed.embedding.columns', 'columns'],
  ['fixed.embedding.file', 'file'],
  ['fixed.embedding.offset', 'offset'],
]

describe.each(integers)('%s', (path, name) => {
  it.each([-1, 0.5, NaN, Infinity, -Infinity, 2 ** 60, 1e300])('%d', (value) => {
    expect(() => open(changed(path, value))).toThrow(RangeError)
    expect(() => open(changed(path, value))).toThrow(`${name}: found`)
  })
})

it.each([
  [{ count: 512, max: 128 }, 'max: found 128'],
  [{ count: 1024, max: 256 }, 'max: found 256'],
  [{ count: 3, max: 128 }, 'count: found 3'],
  [{ count: 1 << 20, max: 1 << 24 }, 'count: found 1048576'],
])('no bucket past the largest distance: %o', (buckets, message) => {
  expect(() => open(changed(`${ATTENTION}.distance.buckets`, buckets))).toThrow(message)
})

it('no matrix without measure', () => {
  const wide = changed('architecture.width', 65536)
  for (const s of wide.architecture.subBlocks)
    if (s.kind === 'feedForward') Object.assign(s, { inner: 1 << 20 })
  expect(() => open(wide)).toThrow('inner x width: found 68719476736')
})

it.each([0, -1, NaN, Infinity, 1e300, 1e-300])('no epsilon of %d', (value) => {
  expect(() => open(changed('architecture.output.norm.epsilon', value))).toThrow('epsilon: found')
})

it('no encoder of more sub-blocks than there can be', () => {
  const many = Array.from({ length: 4096 }, (_, s) => spec.architecture.subBlocks[s % 2]!)
  expect(() => open(changed('architecture.subBlocks', many))).toThrow('subBlocks: found 4096')
})
