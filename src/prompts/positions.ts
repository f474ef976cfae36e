import { InputError } from '../errors.js'
import { inTurns } from '../io/turns.js'
import type { Architecture } from '../model/architecture.js'
import type { PackedBatch } from './batch.js'
import { MAX_ROW_TOKENS, STEP } from './layout.js'

/** What an encoder does with positions. */
export interface PositionRules {
  /** It rotates by them, or looks them up. */
  readonly used: boolean
  /** Rows of its position table, where it has one. */
  readonly table?: number | undefined
}

export const positionRules = ({ input, subBlocks }: Architecture): PositionRules => ({
  used:
    input.positions !== undefined || subBlocks.some((s) => s.kind === 'attention' && s.rope !== undefined),
  table: input.positions,
})

/** The mask a caller gave, or what stands for none: all but tokens of one id. */
export const maskOf = (
  given: Int32Array | undefined,
  inputIds: Int32Array,
  masked: number | undefined,
): Int32Array | undefined =>
  given ?? (masked === undefined ? undefined : inputIds.map((id) => (id === masked ? 0 : 1)))

/**
 * The batch at positions a caller gives, [rows, tokens], which are copied when the call is made.
 * @throws InputError where they are of another number, or too large for the encoder; the signal's reason
 */
export function placedAt(
  positionIds: Int32Array | undefined,
  { used, table }: PositionRules,
): (batch: PackedBatch, signal: AbortSignal | undefined) => Promise<PackedBatch> {
  if (positionIds !== undefined && !used) {
    throw new InputError({
      field: 'positionIds',
      found: 'positions for an encoder that has no use for them',
      expected: 'none: its attention goes by distances alone',
    })
  }
  const given = positionIds?.slice()
  return async (batch, signal) => {
    checkTable(batch, table, given)
    return given === undefined ? batch : await inTurns(place(batch, given, table ?? MAX_ROW_TOKENS), signal)
  }
}

/** Where no positions are given, the longest row must fit in the table. */
function checkTable(batch: PackedBatch, table: number | undefined, given: Int32Array | undefined): void {
  if (table === undefined || given !== undefined || batch.tokens <= table) return
  throw new InputError({
    field: 'batch',
    found: `rows of ${batch.tokens} tokens`,
    expected: `at most ${table}, the positions that the encoder knows`,
  })
}

function* place(batch: PackedBatch, given: Int32Array, limit: number): Generator<undefined, PackedBatch> {
  const { rows, tokens, outputRows } = batch
  if (given.length !== rows * tokens) {
    throw new InputError({
      field: 'positionIds',
      found: `${given.length} entries`,
      expected: `${rows * tokens}, one for each of ${rows} x ${tokens} tokens`,
    })
  }
  for (let i = 0; i < given.length; i++) {
    if (i % STEP === STEP - 1) yield
    if (given[i]! >= 0 && given[i]! < limit) continue
    const field = `positionIds[${Math.floor(i / tokens)}, ${i % tokens}]`
    throw new InputError({ field, found: String(given[i]), expected: `0 to ${limit - 1}` })
  }
  const positions = new Int32Array(outputRows.length)
  for (let i = 0; i < positions.length; i++) {
    if (i % STEP === STEP - 1) yield
    positions[i] = given[outputRows[i]!]!
  }
  return { ...batch, positions }
}
