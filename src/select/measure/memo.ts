/** Errors of chunks that are known already (from a journal), and where new ones are noted. */
export interface Memo {
  /** [chunks] for this program, NaN where unknown. The evaluator fills it in. */
  errors(program: string): Float64Array
  note(program: string, chunk: number, error: number): void | Promise<void>
}

/** Errors by program, in memory. */
export function memoryMemo(chunks: number): Memo {
  const known = new Map<string, Float64Array>()
  return {
    errors(program) {
      const errors = known.get(program) ?? unknown(chunks)
      known.set(program, errors)
      return errors
    },
    note: () => undefined,
  }
}

/** [chunks] */
export const unknown = (chunks: number): Float64Array => new Float64Array(chunks).fill(NaN)
