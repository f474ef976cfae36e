import { CheckpointError } from '../errors.js'
import { inWords, isWithin, LIMITS } from './limits.js'
import { checkMatrix } from './numbers.js'

/** The numbers that tell encoders of this family apart, under names shorter than config.json's. */
export interface T5Sizes {
  readonly family: 't5' | 'umt5'
  readonly blocks: number
  readonly width: number
  readonly heads: number
  readonly headDim: number
  readonly ff: number
  readonly vocab: number
  readonly buckets: number
  readonly maxDistance: number
  readonly epsilon: number
  readonly activation: 'relu' | 'gelu_tanh'
  readonly gated: boolean
}

/** For messages: a number, and what may stand for it. */
const NUMBERS = {
  blocks: { word: 'blocks', limit: LIMITS.blocks },
  width: { word: 'width', limit: LIMITS.width },
  heads: { word: 'heads', limit: LIMITS.heads },
  headDim: { word: 'head width', limit: LIMITS.headDim },
  ff: { word: 'inner width', limit: LIMITS.inner },
  vocab: { word: 'vocabulary', limit: LIMITS.vocab },
  buckets: { word: 'buckets', limit: LIMITS.buckets },
  maxDistance: { word: 'largest distance', limit: LIMITS.maxDistance },
} as const

/** Where each number was read: a field of config.json, or the tensor whose shape tells it. */
export type SizeFields = Readonly<Record<keyof typeof NUMBERS, string>>

/** The one gate for sizes, wherever they come from. Throws CheckpointError, naming the field. */
export function checkSizes(file: string, sizes: T5Sizes, fields: SizeFields): T5Sizes {
  for (const name of Object.keys(NUMBERS) as (keyof typeof NUMBERS)[]) {
    const { word, limit } = NUMBERS[name]
    if (isWithin(sizes[name], limit)) continue
    const found = `${word} ${sizes[name]}`
    throw new CheckpointError({ file, field: fields[name], found, expected: inWords(limit) })
  }
  checkBuckets(file, sizes, fields)
  const { width, heads, headDim, ff, vocab } = sizes
  checkMatrix(file, fields.headDim, heads * headDim, width)
  checkMatrix(file, fields.ff, ff, width)
  checkMatrix(file, fields.vocab, vocab, width)
  return sizes
}

/** Half of the buckets are for one direction, half of those for exact distances; the rest reach from there to maxDistance. */
function checkBuckets(file: string, { buckets, maxDistance }: T5Sizes, fields: SizeFields): void {
  if (maxDistance > Math.floor(buckets / 4)) return
  const inferred = fields.buckets === fields.maxDistance
  throw new CheckpointError({
    file,
    field: fields.maxDistance,
    found: inferred ? `${buckets} buckets for distances up to ${maxDistance}` : String(maxDistance),
    expected: inferred ? `fewer than ${4 * maxDistance}` : `more than a quarter of the ${buckets} buckets`,
  })
}
