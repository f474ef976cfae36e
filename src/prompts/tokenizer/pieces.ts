/**
 * The pieces of a vocabulary in a few typed arrays, found by a hash table: 11 MB for the 256,000 of UMT5, where a trie of objects
 * takes 300 MB. It can be handed from thread to thread.
 */
export interface PieceArrays {
  /** UTF-16 units of all pieces, one after the other. */
  readonly units: Uint16Array<ArrayBuffer>
  /** [pieces] where each ends in `units`. */
  readonly ends: Int32Array<ArrayBuffer>
  /** [pieces] log-probabilities. */
  readonly scores: Float64Array<ArrayBuffer>
  /** [a power of two] ids by hash, open addressing; -1: free. */
  readonly slots: Int32Array<ArrayBuffer>
  /** Units of the longest piece. */
  readonly longest: number
}

const FNV_OFFSET = 0x811c9dc5
const hashed = (hash: number, unit: number): number => Math.imul(hash ^ unit, 0x01000193)
const slotOf = (hash: number, mask: number): number => (hash ^ (hash >>> 15)) & mask

/** @param vocab pieces with their scores; of two equal pieces the later one counts, as in Hugging Face's engine */
export function packPieces(vocab: readonly (readonly [string, number])[]): PieceArrays {
  const units = new Uint16Array(vocab.reduce((sum, [piece]) => sum + piece.length, 0))
  const ends = new Int32Array(vocab.length)
  const scores = Float64Array.from(vocab, ([, score]) => score)
  const slots = new Int32Array(1 << Math.ceil(Math.log2(2 * vocab.length + 1))).fill(-1)
  let end = 0
  let longest = 0
  const pieces = new Pieces({ units, ends, scores, slots, longest })
  for (const [id, [piece]] of vocab.entries()) {
    for (let i = 0; i < piece.length; i++) units[end + i] = piece.charCodeAt(i)
    end += piece.length
    ends[id] = end
    longest = Math.max(longest, piece.length)
    slots[pieces.slot(piece)] = id
  }
  return { units, ends, scores, slots, longest }
}

/** Has the methods of the engine's trie and of its map from tokens to ids that a Unigram model uses. */
export class Pieces {
  constructor(private readonly arrays: PieceArrays) {}

  /** The piece's id. */
  get(piece: string): number | undefined {
    const id = this.arrays.slots[this.slot(piece)]!
    return id < 0 ? undefined : id
  }

  /** Every piece that `chars`, each a code point, begins with at `start`; the shortest first. */
  *common_prefix_search(chars: readonly string[], start = 0): Generator<string> {
    const { longest } = this.arrays
    let prefix = ''
    let hash = FNV_OFFSET
    for (let i = start; i < chars.length; i++) {
      const char = chars[i]!
      prefix += char
      if (prefix.length > longest) return
      for (let u = 0; u < char.length; u++) hash = hashed(hash, char.charCodeAt(u))
      if (this.arrays.slots[this.#slotFrom(hash, prefix)]! >= 0) yield prefix
    }
  }

  /** Where the piece stands in the hash table, or belongs. */
  slot(piece: string): number {
    let hash = FNV_OFFSET
    for (let u = 0; u < piece.length; u++) hash = hashed(hash, piece.charCodeAt(u))
    return this.#slotFrom(hash, piece)
  }

  #slotFrom(hash: number, piece: string): number {
    const { slots } = this.arrays
    const mask = slots.length - 1
    let slot = slotOf(hash, mask)
    while (slots[slot]! >= 0 && !this.#is(slots[slot]!, piece)) slot = (slot + 1) & mask
    return slot
  }

  #is(id: number, piece: string): boolean {
    const { units, ends } = this.arrays
    const from = id === 0 ? 0 : ends[id - 1]!
    if (ends[id]! - from !== piece.length) return false
    for (let u = 0; u < piece.length; u++) if (units[from + u] !== piece.charCodeAt(u)) return false
    return true
  }
}
