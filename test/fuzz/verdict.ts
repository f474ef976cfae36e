import { SkrrError } from '../../src/errors.js'
import type { Action } from './cases.js'

/** What a case came to: `ok` or the code of its error, and what is wrong with that. */
export interface Verdict {
  readonly outcome: string
  readonly failure?: string
}

/** What files can be blamed for. No file disposes an encoder or takes the processor away. */
const CODES = ['ERR_CHECKPOINT', 'ERR_PLAN', 'ERR_TOKENIZER', 'ERR_INPUT', 'ERR_ENGINE']
/** Here a file is read first and then given to a call, whose error names the argument. */
const BY_ARGUMENT: readonly Action[] = ['ids', 'embeds', 'plan']
/** A model without a token embedding is good, and takes no ids. */
const NO_EMBEDDING = 'the model has no token embedding'
const MAX_MESSAGE = 2000

export const GOOD: Verdict = { outcome: 'ok' }

/** Judges the error of an action on the files in `folder`. */
export function judge(error: unknown, action: Action, folder: string): Verdict {
  if (!(error instanceof SkrrError)) {
    const text = error instanceof Error ? (error.stack ?? String(error)) : String(error)
    return { outcome: 'foreign', failure: `a foreign error: ${text.slice(0, 3000)}` }
  }
  const { code, message } = error
  const failure = faultOf(code, message, action, folder)
  return failure === undefined
    ? { outcome: code }
    : { outcome: code, failure: `${failure}: ${code} ${message.slice(0, 3000)}` }
}

function faultOf(code: string, message: string, action: Action, folder: string): string | undefined {
  if (!CODES.includes(code)) return 'a code that no file gives cause for'
  if (message.length > MAX_MESSAGE) return `a message of ${message.length} characters`
  if (/[\p{Cc}\p{Bidi_Control}]/u.test(message)) return 'a message with control characters'
  if (code === 'ERR_ENGINE' || BY_ARGUMENT.includes(action) || message.endsWith(NO_EMBEDDING))
    return undefined
  const named = message.includes(folder)
  return named ? undefined : 'a message that names no file'
}
