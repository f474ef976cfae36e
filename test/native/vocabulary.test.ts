import { describe, expect, it } from 'vitest'
import { native } from '../../src/native/addon.js'
import { checkVocabulary, type Vocabulary } from '../../src/native/vocabulary.js'
import type { SkrrError } from '../../src/errors.js'

function catching(call: () => void): SkrrError {
  try {
    call()
  } catch (error) {
    return error as SkrrError
  }
  throw new Error('nothing was thrown')
}

describe('the vocabulary of both languages', () => {
  const theirs: Vocabulary = native().describe()
  const check = (changed: Partial<Vocabulary>) => (): void => {
    checkVocabulary('skrr.node', { ...theirs, ...changed })
  }

  it('is one', () => {
    expect(check({})).not.toThrow()
  })

  it.each<[string, Partial<Vocabulary>]>([
    ['roles', { roles: theirs.roles.toReversed() }],
    ['precisions', { precisions: [...theirs.precisions, 'int2'] }],
    ['encodings', { encodings: theirs.encodings.slice(1) }],
    ['activations', { activations: [] }],
    ['panel', { panel: { ...theirs.panel, columns: 16 } }],
    ['packedLayout', { packedLayout: theirs.packedLayout + 1 }],
  ])('of an addon with other %s is refused by name', (field, changed) => {
    const refusal = catching(check(changed))
    expect(refusal.code).toBe('ERR_DEVICE')
    expect(refusal.message).toMatch(new RegExp(`^skrr\\.node: ${field}: found .*npm run build`))
  })

  it('of an addon of the version before, which told none, is refused', () => {
    const { packedLayout } = theirs
    expect(() => checkVocabulary('skrr.node', { packedLayout } as Vocabulary)).toThrow(
      /^skrr\.node: roles: found nothing, expected norm normBias postNorm .*npm run build/,
    )
  })
})
