import { readFileSync } from 'node:fs'
import { readTensors } from '../src/checkpoint/tensor-file.js'
import type { EncoderInput } from '../src/options.js'
import { golden, goldenInput } from './golden.js'

/** A case of the golden folders of LLM.md and of CLIP's. */
export interface DecoderCase {
  readonly name: string
  readonly input: EncoderInput & object
  readonly shape: readonly number[]
  /** [batch, tokens, width] of the float64 run. */
  readonly expected: ArrayLike<number>
  /** The same with the bf16 weights, where there are others. */
  readonly expectedBf16: ArrayLike<number> | undefined
  /** Relative error of the class's own bf16. */
  readonly bf16Error: number | undefined
  /** [batch x tokens] whether the row sees a key; frameworks differ in what the others hold. */
  readonly defined: readonly boolean[]
  readonly hasUnseeing: boolean
}

interface Expected {
  cases: Record<string, Record<string, unknown>>
}

export async function decoderCases(model: string): Promise<DecoderCase[]> {
  const { cases } = JSON.parse(readFileSync(golden(model, 'expected.json'), 'utf8')) as Expected
  const tensors = await readTensors(golden(model, 'expected.safetensors'))
  const data = (name: string) => tensors.get(name)?.data as Float64Array | undefined
  return Object.entries(cases)
    .filter(([name]) => tensors.has(`${name}.input_ids`))
    .map(([name, record]) => {
      const stored = tensors.get(`${name}.last_hidden_state`) ?? tensors.get(`${name}.last_hidden_state.f64`)!
      const positions = tensors.get(`${name}.position_ids`)?.data as Int32Array | undefined
      const rows = stored.shape[0]! * stored.shape[1]!
      const visible = tensors.get(`${name}.defined_rows`)?.data as ArrayLike<number> | undefined
      const defined = Array.from({ length: rows }, (_, i) => visible?.[i] !== 0)
      const isPassed = String(record['position_ids']).startsWith('passed')
      return {
        name,
        input: { ...goldenInput(tensors, name), ...(isPassed && { positionIds: positions }) },
        shape: stored.shape,
        expected: stored.data as Float64Array,
        expectedBf16: data(`${name}.last_hidden_state.bf16_weights`),
        bf16Error: bf16Error(record),
        defined,
        hasUnseeing: defined.includes(false),
      }
    })
}

/** The smaller of what its two attentions show. */
function bf16Error(record: Record<string, unknown>): number | undefined {
  const errors = ['eager', 'sdpa'].flatMap((attention) => {
    const error = record[`rel_err_hf_native_bf16_${attention}_vs_bf16_weights_f64`]
    return typeof error === 'number' ? [error] : []
  })
  return errors.length === 0 ? undefined : Math.min(...errors)
}

/** Both without the rows that are not defined. */
export function definedRows(
  { shape, defined }: DecoderCase,
  found: ArrayLike<number>,
  expected: ArrayLike<number>,
): [number[], number[]] {
  const width = shape[2]!
  const keep = (all: ArrayLike<number>): number[] =>
    Array.from(all).filter((_, i) => defined[Math.floor(i / width)])
  return [keep(found), keep(expected)]
}

/** What plans.safetensors holds: `<case>.<plan>.last_hidden_state`, of a long case the last rows. */
export async function planResults(model: string): Promise<Map<string, Float32Array>> {
  const tensors = await readTensors(golden(model, 'plans.safetensors'))
  return new Map([...tensors].map(([name, { data }]) => [name, data as Float32Array]))
}
