import type { Dtype, Row, Tensor } from './types.js'

/** What outputs are made of. All arrays are row-major. */

const elements = (shape: readonly number[]): number => shape.reduce((product, n) => product * n, 1)

export const tensor = (
  shape: readonly number[],
  dtype: Dtype,
  data: Float32Array | Int32Array = dtype === 'float32'
    ? new Float32Array(elements(shape))
    : new Int32Array(elements(shape)),
): Tensor => ({ shape, dtype, data })

export const zeros = (...shape: number[]): Tensor => tensor(shape, 'float32')

/** [prompts, tokens], as wide as the widest row, zeros after shorter ones. */
export function maskOf(rows: readonly Row[], dtype: Dtype, from = 0): Tensor {
  return table(
    rows.map(({ mask }) => mask.subarray(from)),
    dtype,
  )
}

export const idsOf = (rows: readonly Row[], dtype: Dtype): Tensor =>
  table(
    rows.map(({ ids }) => ids),
    dtype,
  )

export function table(lines: readonly Int32Array[], dtype: Dtype): Tensor {
  const tokens = lines.reduce((n, { length }) => Math.max(n, length), 0)
  const out = tensor([lines.length, tokens], dtype)
  for (const [i, line] of lines.entries()) out.data.set(line, i * tokens)
  return out
}

/** None where every entry is 1. */
export const unlessAllOnes = (mask: Tensor): Tensor | null =>
  mask.data.every((bit) => bit === 1) ? null : mask

/** Tokens from `from` to before `to`, along axis 1. */
export function tokensOf(t: Tensor, from: number, to = t.shape[1]!): Tensor {
  const [rows = 0, tokens = 0, ...rest] = t.shape
  const width = elements(rest)
  const out = tensor([rows, to - from, ...rest], t.dtype)
  for (let row = 0; row < rows; row++) {
    const at = (row * tokens + from) * width
    out.data.set(t.data.subarray(at, at + (to - from) * width), row * (to - from) * width)
  }
  return out
}

/** [n, a, w] and [n, b, w] to [n, a + b, w]. */
export function appendTokens(a: Tensor, b: Tensor): Tensor {
  const [rows = 0, left = 0, ...rest] = a.shape
  const right = b.shape[1]!
  const width = elements(rest)
  const out = tensor([rows, left + right, ...rest], a.dtype)
  for (let row = 0; row < rows; row++) {
    const at = row * (left + right) * width
    out.data.set(a.data.subarray(row * left * width, (row + 1) * left * width), at)
    out.data.set(b.data.subarray(row * right * width, (row + 1) * right * width), at + left * width)
  }
  return out
}

/** Zeros after the last token, until there are `tokens`. */
export const padTokens = (t: Tensor, tokens: number): Tensor =>
  t.shape[1]! >= tokens
    ? t
    : appendTokens(t, tensor([t.shape[0]!, tokens - t.shape[1]!, ...t.shape.slice(2)], t.dtype))

/** Side by side along the last axis, the first tensor's values first. */
export function beside(...tensors: readonly Tensor[]): Tensor {
  const [first] = tensors
  const lead = first!.shape.slice(0, -1)
  const rows = elements(lead)
  const width = tensors.reduce((n, { shape }) => n + shape.at(-1)!, 0)
  const out = tensor([...lead, width], first!.dtype)
  let at = 0
  for (const { data, shape } of tensors) {
    const w = shape.at(-1)!
    for (let row = 0; row < rows; row++) out.data.set(data.subarray(row * w, (row + 1) * w), row * width + at)
    at += w
  }
  return out
}

/** States of equal shape woven along the last axis: the state's index runs fastest. */
export function woven(tensors: readonly Tensor[]): Tensor {
  const { shape, data: first } = tensors[0]!
  const n = tensors.length
  const out = tensor([...shape.slice(0, -1), shape.at(-1)! * n], 'float32')
  for (const [s, { data }] of tensors.entries()) {
    for (let i = 0; i < first.length; i++) out.data[i * n + s] = data[i]!
  }
  return out
}

/** Stacked on a new axis. */
export function stacked(tensors: readonly Tensor[], axis: number): Tensor {
  const { shape, dtype } = tensors[0]!
  const outer = elements(shape.slice(0, axis))
  const inner = elements(shape.slice(axis))
  const out = tensor([...shape.slice(0, axis), tensors.length, ...shape.slice(axis)], dtype)
  for (const [s, { data }] of tensors.entries()) {
    for (let o = 0; o < outer; o++) {
      out.data.set(data.subarray(o * inner, (o + 1) * inner), (o * tensors.length + s) * inner)
    }
  }
  return out
}

/** Zeros where the mask is 0. */
export function masked(t: Tensor, mask: Tensor): Tensor {
  const width = elements(t.shape.slice(2))
  const out = tensor(t.shape, t.dtype, t.data.slice())
  for (const [i, bit] of mask.data.entries()) if (bit === 0) out.data.fill(0, i * width, (i + 1) * width)
  return out
}

/** Per prompt the tokens whose mask is 1, without the first `drop` of them: [n, width] each. */
export function realTokens(t: Tensor, rows: readonly Row[], drop = 0): Tensor[] {
  const [, tokens = 0, width = 0] = t.shape
  return rows.map(({ mask }, row) => {
    const at = [...mask.keys()].filter((i) => mask[i] === 1).slice(drop)
    const out = tensor([at.length, width], t.dtype)
    for (const [i, from] of at.entries()) {
      const begin = (row * tokens + from) * width
      out.data.set(t.data.subarray(begin, begin + width), i * width)
    }
    return out
  })
}

/** Lists of tokens as [lists, longest, width], zeros after the shorter ones. */
export function padded(lists: readonly Tensor[]): Tensor {
  const tokens = lists.reduce((n, { shape }) => Math.max(n, shape[0]!), 0)
  const width = lists[0]!.shape[1]!
  const out = zeros(lists.length, tokens, width)
  for (const [i, { data }] of lists.entries()) out.data.set(data, i * tokens * width)
  return out
}

/** [lists, longest] ones as long as each list. */
export function maskOfLengths(lengths: readonly number[], dtype: Dtype): Tensor {
  return table(
    lengths.map((n) => new Int32Array(n).fill(1)),
    dtype,
  )
}

/** Each slice of `axis` `times` in a row: a, a, b, b. */
export function repeated(t: Tensor, times: number, axis: number): Tensor {
  if (times === 1) return t
  const outer = elements(t.shape.slice(0, axis))
  const slices = t.shape[axis]!
  const inner = elements(t.shape.slice(axis + 1))
  const out = tensor(t.shape.with(axis, slices * times), t.dtype)
  for (let i = 0; i < outer * slices; i++) {
    const slice = t.data.subarray(i * inner, (i + 1) * inner)
    for (let k = 0; k < times; k++) out.data.set(slice, (i * times + k) * inner)
  }
  return out
}

/** FLUX.2's ids of text: (0, 0, 0, row) for each token. */
export function rowIds(prompts: number, tokens: number): Tensor {
  const out = tensor([prompts, tokens, 4], 'int64')
  for (let i = 0; i < prompts * tokens; i++) out.data[i * 4 + 3] = i % tokens
  return out
}

/** [tokens, 3] of (first, row, row). */
export function planeIds(tokens: number, first = 0): Tensor {
  const out = zeros(tokens, 3)
  for (let i = 0; i < tokens; i++) out.data.set([first, i, i], i * 3)
  return out
}
