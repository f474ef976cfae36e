import type { Encoder } from '../encoder.js'
import { blocksOf } from '../model/parameters.js'
import type { Outputs } from '../model/outputs.js'
import { padTokens, tensor } from '../pipelines/tensors.js'
import type { Call, Row, SideOfSlot, SlotData, Tensor } from '../pipelines/types.js'

type CallOfSide = Pick<Call, 'args' | 'negative'>

/** What an encoder is asked for. Without states, pooled rows alone are read. */
export function outputsOfSlot(slot: SlotData, blocks: number, call: CallOfSide): Outputs {
  const states = slot.states(call, blocks)
  const { pooled } = slot
  return {
    ...(states.length > 0 && { states }),
    ...(pooled && { pooled: { project: pooled === 'projected' } }),
  }
}

/** One side's rows, encoded. A prompt without a row gets zeros. */
export async function encodeRows(
  encoder: Encoder,
  slot: SlotData,
  rows: readonly (Row | undefined)[],
  side: CallOfSide,
  signal?: AbortSignal,
): Promise<SideOfSlot> {
  const { width } = encoder.architecture
  const there = rows.filter((row) => row !== undefined)
  const tokens = there.reduce((n, { ids }) => Math.max(n, ids.length), 0)
  const outputs = outputsOfSlot(slot, blocksOf(encoder.architecture), side)
  const wanted = outputs.states?.length ?? 0
  const states = Array.from({ length: wanted }, () => tensor([rows.length, tokens, width], 'float32'))
  let pooled: Tensor | undefined
  for (const batch of batchesOf(rows)) {
    const result = await encodeBatch(encoder, slot, batch, outputs, signal)
    for (const [s, state] of states.entries()) place(state, result.states[s]!, batch)
    if (result.pooled === undefined) continue
    pooled ??= tensor([rows.length, result.pooled.shape[1]!], 'float32')
    for (const [i, at] of batch.at.entries()) {
      const w = pooled.shape[1]!
      pooled.data.set(result.pooled.data.subarray(i * w, (i + 1) * w), at * w)
    }
  }
  const absent = (): Row => ({ ids: new Int32Array(tokens), mask: new Int32Array(tokens), truncated: false })
  return { rows: rows.map((row) => row ?? absent()), states, ...(pooled && { pooled }) }
}

interface Batch {
  readonly rows: readonly Row[]
  /** Their places among all prompts. */
  readonly at: readonly number[]
}

/** Rows of one length together. */
function batchesOf(rows: readonly (Row | undefined)[]): Batch[] {
  const lengths = [...new Set(rows.flatMap((row) => (row ? [row.ids.length] : [])))]
  return lengths.map((length) => {
    const at = [...rows.keys()].filter((i) => rows[i]?.ids.length === length)
    return { rows: at.map((i) => rows[i]!), at }
  })
}

async function encodeBatch(
  encoder: Encoder,
  slot: SlotData,
  { rows }: Batch,
  outputs: Outputs,
  signal?: AbortSignal,
): Promise<{ states: Tensor[]; pooled?: Tensor }> {
  const shape = [rows.length, rows[0]!.ids.length]
  const joined = (lines: readonly Int32Array[]): Int32Array => {
    const data = new Int32Array(shape[0]! * shape[1]!)
    for (const [i, line] of lines.entries()) data.set(line, i * shape[1]!)
    return data
  }
  const inputIds = { data: joined(rows.map(({ ids }) => ids)), shape }
  const attentionMask = slot.mask ? joined(rows.map(({ mask }) => mask)) : undefined
  const masked = slot.padsUnread ? 'zero' : 'compute'
  const given = rows.flatMap(({ positions }) => (positions ? [positions] : []))
  const positionIds = given.length > 0 ? joined(given) : undefined
  const result = await encoder.encode(
    { inputIds, attentionMask, ...(positionIds && { positionIds }) },
    { masked, outputs, signal },
  )
  const states = result.states.map((data) => tensor(result.shape, 'float32', data))
  return {
    states,
    ...(result.pooled && { pooled: tensor(result.pooled.shape, 'float32', result.pooled.data) }),
  }
}

/** Puts a batch's rows at their places. */
function place(all: Tensor, part: Tensor, { at }: Batch): void {
  const row = all.shape[1]! * all.shape[2]!
  const padded = padTokens(part, all.shape[1]!)
  for (const [i, to] of at.entries()) all.data.set(padded.data.subarray(i * row, (i + 1) * row), to * row)
}
