import { InputError } from '../errors.js'
import type { Architecture, Pooling } from '../model/architecture.js'
import type { ResolvedOutputs } from '../model/outputs.js'
import type { PackedBatch } from '../prompts/batch.js'
import type { NativeOutput, OutputType } from './addon.js'
import type { MicroBatch } from './micro-batches.js'

type Elements = Float32Array | Uint16Array

/** The arrays that a call fills, and where in them the engine writes what. */
export interface Results {
  /** Each [batch, tokens, width]; joined states are one, [batch, tokens, states x width]. */
  readonly states: readonly Elements[]
  /** Of the first of `states`. */
  readonly shape: readonly [batch: number, tokens: number, width: number]
  readonly pooled?: { readonly data: Elements; readonly shape: readonly [batch: number, width: number] }
  /** In the order in which the engine reaches them. */
  readonly outputs: readonly NativeOutput[]
}

/** The part of the results that the packed tokens [first, end) fill. */
export const outputsOf = ({ outputs }: Results, { first, end }: MicroBatch): NativeOutput[] =>
  outputs.map((output) => ({ ...output, rows: output.rows.subarray(first, end) }))

/** @throws InputError for a result that does not fit in memory, or pooled rows that need ids */
export function resultsOf(
  { states, join, pooled }: ResolvedOutputs,
  { width, output, subBlocks }: Architecture,
  batch: PackedBatch,
  type: OutputType,
): Results {
  const { rows, tokens, outputRows } = batch
  const columns = join === undefined ? width : states.length * width
  const arrays = Array.from({ length: join === undefined ? states.length : 1 }, () =>
    resultArray([rows, tokens, columns], type),
  )
  const outputs: NativeOutput[] = states.map(({ after, norm }, t) => ({
    ...{ data: arrays[join === undefined ? t : 0]!, type, rows: outputRows },
    ...{ after: 2 * after, norm, projected: false, stride: columns },
    ...{ first: join === 'states' ? t * width : join === 'channels' ? t : 0 },
    ...{ step: join === 'channels' ? states.length : 1 },
  }))
  const results = { states: arrays, shape: [rows, tokens, columns] as const }
  if (pooled === undefined) return { ...results, outputs: inOrder(outputs) }
  const pooledWidth = pooled.project ? output.projection!.width : width
  const data = resultArray([rows, pooledWidth], type)
  outputs.push({
    ...{ data, type, rows: pooledRows(batch, pooled.row), after: subBlocks.length, norm: true },
    ...{ projected: pooled.project, stride: pooledWidth, first: 0, step: 1 },
  })
  return { ...results, pooled: { data, shape: [rows, pooledWidth] }, outputs: inOrder(outputs) }
}

const inOrder = (outputs: readonly NativeOutput[]): NativeOutput[] =>
  [...outputs].sort((a, b) => a.after - b.after)

/**
 * [packed] the prompt whose pooled row a token is, -1 for all others. Where no token has the id, `firstEos` and `lastEos` take
 * the first, as transformers' argmax over comparisons does.
 */
function pooledRows({ ids, starts, visible, outputRows, tokens }: PackedBatch, pooling: Pooling): Int32Array {
  const rows = new Int32Array(outputRows.length).fill(-1)
  if (ids === undefined && pooling.row !== 'last') {
    const expected = `prompts or inputIds, among which ${pooling.row} looks for a row`
    throw new InputError({ field: 'inputsEmbeds', found: 'no ids', expected })
  }
  const takes = picker(ids, visible, pooling)
  for (let s = 0; s + 1 < starts.length; s++) {
    let pick = starts[s]!
    for (let t = pick + 1; t < starts[s + 1]!; t++) if (takes(t, pick)) pick = t
    rows[pick] = Math.floor(outputRows[pick]! / tokens)
  }
  return rows
}

/** Whether token t, after the one picked so far, is the better pick. */
function picker(
  ids: Int32Array | undefined,
  visible: Uint8Array,
  pooling: Pooling,
): (t: number, pick: number) => boolean {
  if (!('eos' in pooling)) {
    return pooling.row === 'last' ? (t) => visible[t] === 1 : (t, pick) => ids![t]! > ids![pick]!
  }
  const { eos, row } = pooling
  return (t, pick) => ids![t] === eos && (row === 'lastEos' || ids![pick] !== eos)
}

/** Zeros of this shape. */
function resultArray(shape: readonly number[], type: OutputType): Elements {
  const elements = shape.reduce((product, n) => product * n, 1)
  try {
    return type === 'f32' ? new Float32Array(elements) : new Uint16Array(elements)
  } catch (cause) {
    const found = `a result of [${shape.join(', ')}]`
    throw new InputError({ field: 'batch', found, expected: 'one that fits in memory' }, { cause })
  }
}
