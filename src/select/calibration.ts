import { InputError } from '../errors.js'
import type { NativeBatch } from '../native.js'

/**
 * Real tokens of one prompt: ids [tokens], or rows [tokens, width] that stand in for their embeddings. `positions` are the
 * tokens' places in their row, which masked tokens before them have shifted.
 */
export interface Sequence {
  readonly positions: Int32Array
  readonly ids?: Int32Array | undefined
  readonly embeds?: Float32Array | undefined
}

/** What is measured at once: a few sequences, packed. The calibration set is streamed chunk by chunk. */
export interface Chunk {
  readonly batch: NativeBatch
  readonly tokens: number
  /** Part of the null condition, whose mean is a term of its own in D. */
  readonly isNull: boolean
}

/** Rows of ids as sequences. */
export const idSequences = (rows: readonly (readonly number[] | Int32Array)[]): Sequence[] =>
  rows.map((row) => ({ ids: Int32Array.from(row), positions: Int32Array.from(row.keys()) }))

/**
 * The real tokens of ids [batch, tokens] or embeddings [batch, tokens, width]; mask [batch, tokens], 1 is real.
 * @throws InputError for a row without real tokens
 */
export function maskedSequences(
  input: { data: Int32Array | Float32Array; shape: readonly number[] },
  mask: Int32Array | undefined,
  field: string,
): Sequence[] {
  const [rows = 0, tokens = 0, width = 1] = input.shape
  return Array.from({ length: rows }, (_, r) => {
    const kept = Array.from({ length: tokens }, (_, t) => t).filter(
      (t) => mask === undefined || mask[r * tokens + t] !== 0,
    )
    if (kept.length === 0) {
      throw new InputError({
        field: `${field}[${r}]`,
        found: 'no token',
        expected: 'at least one in every row',
      })
    }
    const positions = Int32Array.from(kept)
    if (input.data instanceof Int32Array) {
      const { data } = input
      return { positions, ids: positions.map((t) => data[r * tokens + t]!) }
    }
    const embeds = new Float32Array(kept.length * width)
    for (const [i, t] of kept.entries()) {
      const from = (r * tokens + t) * width
      embeds.set(input.data.subarray(from, from + width), i * width)
    }
    return { positions, embeds }
  })
}

/**
 * Sequences packed into chunks of at most `maxTokens`, a longer sequence alone in its own. Without `maxTokens`: a 32nd of the
 * set, so that a bad candidate is given up early, and at most 256 tokens.
 */
export function chunksOf(sequences: readonly Sequence[], isNull: boolean, maxTokens?: number): Chunk[] {
  const total = sequences.reduce((sum, { positions }) => sum + positions.length, 0)
  const limit = maxTokens ?? Math.min(256, Math.ceil(total / 32))
  const groups: Sequence[][] = []
  let room = 0
  for (const sequence of sequences) {
    if (groups.length === 0 || sequence.positions.length > room) {
      groups.push([])
      room = limit
    }
    groups.at(-1)!.push(sequence)
    room -= sequence.positions.length
  }
  return groups.map((group) => pack(group, isNull))
}

function pack(group: readonly Sequence[], isNull: boolean): Chunk {
  const starts = [0]
  for (const { positions } of group) starts.push(starts.at(-1)! + positions.length)
  const tokens = starts.at(-1)!
  const ids = group.every((sequence) => sequence.ids)
  return {
    tokens,
    isNull,
    batch: {
      starts: Int32Array.from(starts),
      positions: Int32Array.from(group.flatMap(({ positions }) => [...positions])),
      visible: new Uint8Array(tokens).fill(1),
      outputRows: Int32Array.from({ length: tokens }, (_, t) => t),
      ...(ids
        ? { ids: Int32Array.from(group.flatMap((sequence) => [...sequence.ids!])) }
        : { embeds: joined(group.map((sequence) => sequence.embeds!)) }),
    },
  }
}

function joined(parts: readonly Float32Array[]): Float32Array {
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}
