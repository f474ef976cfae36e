import { describe, expect, it } from 'vitest'
import { type Architecture, type Attention, type FeedForward } from '../../src/model/architecture.js'
import { denseParameters, fixedParameters, subBlockParameters } from '../../src/model/parameters.js'
import { fingerprint } from '../../src/model/fingerprint.js'
import { tensorsOf } from '../../src/families/index.js'
import { T5_XXL, t5Architecture } from '../../src/families/t5.js'
import { Plan } from '../../src/plan/plan.js'
import { tiny, tinySizes } from '../plan/models.js'

const norm = { kind: 'layer', epsilon: 1e-5 } as const
const attention: Attention = {
  kind: 'attention',
  norm,
  postNorm: { kind: 'rms', epsilon: 1e-6 },
  headNorm: { kind: 'rms', epsilon: 1e-6 },
  heads: 4,
  keyHeads: 2,
  headDim: 8,
  bias: 'all',
  scale: 8 ** -0.5,
  distance: { ahead: 0 },
  unseeing: 'zero',
}
const feedForward: FeedForward = {
  kind: 'feedForward',
  norm,
  inner: 40,
  gated: false,
  activation: 'quick_gelu',
  bias: true,
}
const other: Architecture = {
  family: 'other',
  width: 16,
  subBlocks: [attention, feedForward, attention, feedForward],
  input: { vocab: 100, positions: 77 },
  output: { norm, projection: { from: 'pooled', width: 12 } },
}

describe('the parameters of an architecture', () => {
  it('are those of its tensors', () => {
    for (const a of [T5_XXL, tiny, t5Architecture({ ...tinySizes, family: 'umt5', gated: false })]) {
      const counted = tensorsOf(a).reduce((sum, { shape }) => sum + shape.reduce((n, d) => n * d, 1), 0)
      expect(denseParameters(a)).toBe(counted)
    }
  })
  it('count one table that all attentions share outside them', () => {
    const own = t5Architecture({ ...tinySizes, family: 'umt5' })
    const table = tinySizes.buckets * tinySizes.heads
    expect(subBlockParameters(own, 2) - subBlockParameters(tiny, 2)).toBe(table)
    expect(fixedParameters(tiny) - fixedParameters(own)).toBe(table)
  })
  it('count biases, shared key heads, norms of heads and after, positions and a projection', () => {
    const [q, kv] = [4 * 8, 2 * 8]
    const matrices = 16 * (q + 2 * kv) + q * 16
    expect(subBlockParameters(other, 0)).toBe(matrices + (q + 2 * kv + 16) + 2 * 16 + 16 + 2 * 8)
    expect(subBlockParameters(other, 1)).toBe(2 * 16 * 40 + (40 + 16) + 2 * 16)
    expect(fixedParameters(other)).toBe((100 + 77) * 16 + 2 * 16 + 12 * 16)
  })
})

describe('a fingerprint', () => {
  it('is one word where the sub-blocks of a kind are alike, whether they are one object or many', () => {
    const copies = { ...other, subBlocks: other.subBlocks.map((s) => ({ ...s })) }
    expect(fingerprint(copies)).toMatch(/^other-2x16-h4x8k2-ff40-quick_gelu-[0-9a-f]{8}$/)
    expect(fingerprint(copies)).toBe(fingerprint(other))
  })
  it('tells encoders apart whose later sub-blocks differ', () => {
    const local = (back: number): Architecture => {
      const windowed = { ...attention, distance: { ahead: 0, back } }
      return { ...other, subBlocks: [attention, feedForward, windowed, feedForward] }
    }
    expect(fingerprint(local(3))).toMatch(/^other-2x16-h4x8k2-ff40-quick_gelu-[0-9a-f]{8}$/)
    expect(fingerprint(local(3))).toBe(fingerprint(local(3)))
    expect(fingerprint(local(3))).not.toBe(fingerprint(local(4)))
  })
})

it('a plan runs weights where sub-blocks of their kind run', () => {
  const odd: Architecture = { ...other, subBlocks: [attention, feedForward, feedForward, feedForward] }
  const reuse = new Plan([0, 1, 0, 3])
  expect(reuse.parameters(other)).toBe(denseParameters(other) - subBlockParameters(other, 2))
  expect(() => reuse.validate(odd, 'p.json')).toThrow(
    'p.json: table[2]: found 0, of kind attention, expected a sub-block of kind feedForward',
  )
})
