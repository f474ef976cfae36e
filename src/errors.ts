/**
 * Every failure a caller can meet is one of these. The message names where (file, field), what was found and what was
 * expected, and, where there is one, the way out. `code` is stable and meant for programs.
 */
export type ErrorCode =
  | 'ERR_CHECKPOINT' // a model folder or file that cannot be used
  | 'ERR_PLAN' // a plan that is malformed or made for another model
  | 'ERR_TOKENIZER' // tokenizer files missing or not understood
  | 'ERR_INPUT' // prompts, ids, embeddings or options of a call
  | 'ERR_OUTPUT' // a file that cannot be written
  | 'ERR_DEVICE' // a device or native library that is asked for and not there
  | 'ERR_ENGINE' // the native engine failed while loading or running
  | 'ERR_DISPOSED' // the encoder was disposed

/** What an error says, in the order it is printed: `file: field: found F, expected E. hint`. */
export interface ErrorDetail {
  file?: string | undefined
  field?: string | undefined
  found?: string | undefined
  expected?: string | undefined
  hint?: string | undefined
  /** A sentence instead of found/expected, where that form does not fit. */
  message?: string | undefined
}

export class SkrrError extends Error {
  override readonly name: string = 'SkrrError'
  constructor(
    readonly code: ErrorCode,
    readonly detail: ErrorDetail,
    options?: ErrorOptions,
  ) {
    super(describe(detail), options)
  }
}

export class CheckpointError extends SkrrError {
  override readonly name = 'CheckpointError'
  constructor(detail: ErrorDetail, options?: ErrorOptions) {
    super('ERR_CHECKPOINT', detail, options)
  }
}

export class PlanError extends SkrrError {
  override readonly name = 'PlanError'
  constructor(detail: ErrorDetail, options?: ErrorOptions) {
    super('ERR_PLAN', detail, options)
  }
}

export class TokenizerError extends SkrrError {
  override readonly name = 'TokenizerError'
  constructor(detail: ErrorDetail, options?: ErrorOptions) {
    super('ERR_TOKENIZER', detail, options)
  }
}

export class InputError extends SkrrError {
  override readonly name = 'InputError'
  constructor(detail: ErrorDetail, options?: ErrorOptions) {
    super('ERR_INPUT', detail, options)
  }
}

export class OutputError extends SkrrError {
  override readonly name = 'OutputError'
  constructor(detail: ErrorDetail, options?: ErrorOptions) {
    super('ERR_OUTPUT', detail, options)
  }
}

function describe(given: unknown): string {
  if (typeof given !== 'object' || given === null) return printable(String(given))
  const d: ErrorDetail = given
  const field = d.field === undefined ? [] : [shortened(d.field, 200)]
  const where = [...(d.file === undefined ? [] : [d.file]), ...field]
  const found = d.found === undefined ? [] : [`found ${shortened(d.found, 400)}`]
  const expected = d.expected === undefined ? [] : [`expected ${shortened(d.expected, 800)}`]
  const what = shortened(d.message ?? [...found, ...expected].join(', '), 1200)
  const sentence = [...where, what].join(': ')
  return printable(d.hint === undefined ? sentence : `${sentence}. ${d.hint}`)
}

/** Names and values come from files: one that never ends is cut. */
function shortened(part: unknown, length: number): string {
  const text = String(part)
  return text.length <= length ? text : `${text.slice(0, length - 3)}...`
}

/** What a terminal obeys, and what turns the direction of text, is shown and not done. */
const printable = (text: string): string =>
  text.replace(/[\p{Cc}\p{Bidi_Control}\p{Zl}\p{Zp}]/gu, (sign) => {
    const code = sign.codePointAt(0)!.toString(16)
    return `\\u${code.padStart(4, '0')}`
  })
