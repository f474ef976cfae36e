import { fileURLToPath } from 'node:url'
import type { Architecture } from '../model/architecture.js'
import { familyOf } from '../families/index.js'

/**
 * The tokenizer in this package for weights that come without one, such as a single file. Only where the weights say which it is, by
 * their family and the size of their vocabulary: ids of another one would mean nothing, in silence.
 * @returns its folder
 */
export function shippedTokenizer(architecture: Architecture): string | undefined {
  const { vocabularies } = familyOf(architecture)
  const name = vocabularies?.[architecture.family]?.[architecture.input.vocab]
  return name === undefined
    ? undefined
    : fileURLToPath(new URL(`../../vocabularies/${name}/`, import.meta.url))
}
