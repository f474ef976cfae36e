import { createHash } from 'node:crypto'
import { attentionOf, feedForwardOf, type Architecture, type SubBlock } from './architecture.js'
import { blocksOf } from './parameters.js'

/**
 * The shape a plan was made for, in one readable word: family-24x4096-h64x64-ff10240-gated-gelu_tanh is an encoder of 24 blocks of
 * width 4096 with 64 heads of 64 and a gated feed-forward of 10240. Models of one shape share it: it tells whether a plan
 * can fit, not which training of a model it was made for. Fewer key heads than heads are told (h32x128k8). Where sub-blocks of a kind
 * differ, or have attributes that the word does not name, it names the first of each kind and adds a hash of all.
 */
export function fingerprint(a: Architecture): string {
  const word = known.get(a) ?? compute(a)
  known.set(a, word)
  return word
}

/** A search asks for the same fingerprint with every plan. */
const known = new WeakMap<Architecture, string>()

function compute(a: Architecture): string {
  const [attention, feedForward] = [attentionOf(a), feedForwardOf(a)]
  const grouped = attention && attention.keyHeads !== attention.heads ? `k${attention.keyHeads}` : ''
  const heads = `${attention?.heads}x${attention?.headDim}${grouped}`
  const activation = feedForward?.gated ? `gated-${feedForward.activation}` : feedForward?.activation
  const word = `${a.family}-${blocksOf(a)}x${a.width}-h${heads}-ff${feedForward?.inner}-${activation}`
  const texts = a.subBlocks.map(canonical)
  const equal = texts.every((text, s) => text === texts[s % 2])
  return equal && a.subBlocks.every(isPlain)
    ? word
    : `${word}-${createHash('sha256').update(texts.join()).digest('hex').slice(0, 8)}`
}

/** Whether the word names all that makes a difference. */
function isPlain(s: SubBlock): boolean {
  if (s.norm.kind !== 'rms' || s.postNorm !== undefined) return false
  if (s.kind === 'feedForward') return !s.bias
  const { ahead, back } = s.distance
  const others = [s.headNorm, s.softcap, s.rope, ahead, back]
  return s.bias === 'none' && s.scale === 1 && others.every((each) => each === undefined)
}

/** JSON with its keys in order, so that equal sub-blocks have equal texts. */
const canonical = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) =>
    typeof part === 'object' && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  )
