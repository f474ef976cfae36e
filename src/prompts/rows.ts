import { InputError } from '../errors.js'
import type { Side } from '../pipelines/sides.js'
import type { Call, Row, SlotData, TextCall } from '../pipelines/types.js'
import { MAX_ROW_TOKENS } from './layout.js'
import type { TokenizerThread } from './tokenizer/thread.js'

/** What rows are made with. */
export type RowTokenizer = Pick<TokenizerThread, 'tokenize' | 'padId' | 'padSide' | 'eosId' | 'maxLength'>

/** Prompts of one side as rows of ids, as a slot of a pipeline has them. A prompt its encoder does not run for has none. */
export async function rowsOf(
  slot: SlotData,
  name: string,
  tokenizer: RowTokenizer,
  side: Side,
  index: Call['index'],
  signal?: AbortSignal,
): Promise<(Row | undefined)[]> {
  const { args, negative } = side
  const prompts = side.prompts(slot.prompt)
  const call: TextCall = {
    args,
    negative,
    index,
    prompts,
    maxLength: tokenizer.maxLength ?? MAX_ROW_TOKENS,
    count: async (text) => (await tokenizer.tokenize([text], MAX_ROW_TOKENS, signal)).ids[0]!.length,
  }
  const texts = await Promise.all(
    prompts.map(async (prompt) => (slot.text ? await slot.text(prompt, call) : prompt)),
  )
  const there = texts.filter((text) => text !== undefined)
  if (there.length === 0) return texts.map(() => undefined)
  const length = Math.min(await slot.length(call), MAX_ROW_TOKENS)
  const lines = await idsOf(slot, tokenizer, there, length, signal)
  checkLengths(slot, name, lines, length)
  const rows = padRows(slot, tokenizer, lines, length)
  slot.rewrite?.(rows, call)
  await addAround(slot, tokenizer, rows, signal)
  for (const row of rows) if (slot.positions) row.positions = slot.positions(row.mask)
  const next = rows.values()
  return texts.map((text) => (text === undefined ? undefined : next.next().value))
}

interface Line {
  readonly ids: Int32Array
  readonly truncated: boolean
}

async function idsOf(
  slot: SlotData,
  tokenizer: RowTokenizer,
  texts: readonly (string | readonly string[])[],
  length: number,
  signal?: AbortSignal,
): Promise<Line[]> {
  const pieces = texts.map((text) => (typeof text === 'string' ? [text] : text))
  const { ids, truncated } = await tokenizer.tokenize(pieces.flat(), length, signal, slot.bare)
  let at = 0
  return pieces.map(({ length: count }) => {
    const parts = ids.slice(at, at + count)
    const cut = truncated.slice(at, (at += count)).includes(true)
    if (count === 1) return { ids: parts[0]!, truncated: cut }
    const joined = parts.flatMap((part) => [...part])
    return { ids: Int32Array.from(joined.slice(0, length)), truncated: cut || joined.length > length }
  })
}

function checkLengths(slot: SlotData, name: string, lines: readonly Line[], length: number): void {
  const row = slot.refusesLonger ? lines.findIndex(({ truncated }) => truncated) : -1
  if (row < 0) return
  throw new InputError({
    field: `${slot.prompt[0]}[${row}]`,
    found: `more than ${length} tokens for ${name}`,
    expected: `at most ${length}`,
    hint: 'The pipeline cuts no prompt: raise max_sequence_length',
  })
}

function padRows(slot: SlotData, tokenizer: RowTokenizer, lines: readonly Line[], length: number): Row[] {
  const { padTo } = slot
  const longest = lines.reduce((n, { ids }) => Math.max(n, ids.length), 0)
  const padId = slot.padId === 'end' ? (tokenizer.eosId ?? tokenizer.padId) : (slot.padId ?? tokenizer.padId)
  return lines.map(({ ids, truncated }) => {
    let tokens = ids.length
    if (padTo === 'length') tokens = length
    else if (padTo === 'longest') tokens = longest
    else if (padTo !== 'none') tokens = Math.min(length, Math.ceil(ids.length / padTo) * padTo)
    const at = (slot.padSide ?? tokenizer.padSide) === 'left' ? tokens - ids.length : 0
    const row = { ids: new Int32Array(tokens).fill(padId), mask: new Int32Array(tokens), truncated }
    row.ids.set(ids, at)
    row.mask.fill(1, at, at + ids.length)
    return row
  })
}

/** The texts before the prompts and after their pads. */
async function addAround(
  { prefix, suffix }: SlotData,
  tokenizer: RowTokenizer,
  rows: readonly Row[],
  signal?: AbortSignal,
): Promise<void> {
  if (prefix === undefined && suffix === undefined) return
  const texts = [prefix ?? '', suffix ?? '']
  const [before, after] = (await tokenizer.tokenize(texts, MAX_ROW_TOKENS, signal, true)).ids
  const ones = (n: number): Int32Array => new Int32Array(n).fill(1)
  for (const row of rows) {
    row.ids = Int32Array.of(...before!, ...row.ids, ...after!)
    row.mask = Int32Array.of(...ones(before!.length), ...row.mask, ...ones(after!.length))
  }
}
