import { PACKED_LAYOUT, PANEL } from '../checkpoint/packed.js'
import { SkrrError } from '../errors.js'
import { ACTIVATIONS } from '../model/architecture.js'
import { ENCODINGS } from '../model/encoding.js'
import { PRECISIONS } from '../model/precision.js'
import { ROLES } from '../model/roles.js'

/** Names that both languages share: the engine knows roles, precisions and encodings by their place in these lists. */
export interface Vocabulary {
  readonly roles: readonly string[]
  readonly precisions: readonly string[]
  readonly encodings: readonly string[]
  readonly activations: readonly string[]
  /** Sizes and version of packed weights (engine/packed_layout.h). */
  readonly panel: Readonly<Record<keyof typeof PANEL, number>>
  readonly packedLayout: number
}

const OURS: Vocabulary = {
  roles: ROLES,
  precisions: PRECISIONS,
  encodings: ENCODINGS,
  activations: ACTIVATIONS,
  panel: PANEL,
  packedLayout: PACKED_LAYOUT,
}

/** @throws SkrrError ERR_DEVICE where an addon was built from another version of these lists; `file` is named in it */
export function checkVocabulary(file: string, theirs: Vocabulary): void {
  for (const field of Object.keys(OURS) as (keyof Vocabulary)[]) {
    const [found, expected] = [theirs[field], OURS[field]].map(inWords)
    if (found === expected) continue
    throw new SkrrError('ERR_DEVICE', {
      file,
      field,
      found: found ?? 'nothing',
      expected: expected!,
      hint: 'It was built from another version of skrr. Run `npm run build` in a checkout, or reinstall skrr',
    })
  }
}

/** A value in words that do not depend on the order of an object's fields. */
function inWords(value: Vocabulary[keyof Vocabulary] | undefined): string | undefined {
  if (typeof value !== 'object') return value === undefined ? undefined : String(value)
  if (Array.isArray(value)) return value.join(' ')
  return Object.entries(value as Record<string, number>)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, n]) => `${key} ${n}`)
    .join(', ')
}
