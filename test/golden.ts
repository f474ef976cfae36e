import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readTensors, type Tensor } from '../src/checkpoint/tensor-file.js'
import type { EncoderInput } from '../src/options.js'

/** Reference outputs of the real Hugging Face code; see golden/README.md. */
export const golden = (...path: string[]): string => join(import.meta.dirname, 'golden', ...path)

export interface GoldenCase {
  readonly name: string
  readonly input: EncoderInput
  readonly shape: readonly number[]
  /** [batch, tokens, width] of the float64 run. */
  readonly expected: Float64Array
  /** The same with the bf16 copy's weights, where it was recorded. */
  readonly expectedBf16: Float32Array | undefined
  /** Relative error of Hugging Face's own bf16, where it was recorded. */
  readonly bf16Error: number | undefined
}

interface Expected {
  cases: Record<string, { rms_rel_err_hf_native_bf16_vs_bf16_weights_f64?: number | null }>
}

export async function goldenCases(model: string): Promise<GoldenCase[]> {
  const { cases } = JSON.parse(readFileSync(golden(model, 'expected.json'), 'utf8')) as Expected
  const tensors = await readTensors(golden(model, 'expected.safetensors'))
  return Object.entries(cases).map(([name, record]) => {
    const expected = tensors.get(`${name}.last_hidden_state.f64`)!
    return {
      name,
      input: goldenInput(tensors, name),
      shape: expected.shape,
      expected: expected.data as Float64Array,
      expectedBf16: tensors.get(`${name}.last_hidden_state.bf16_weights`)?.data as Float32Array | undefined,
      bf16Error: record.rms_rel_err_hf_native_bf16_vs_bf16_weights_f64 ?? undefined,
    }
  })
}

export function goldenInput(
  tensors: ReadonlyMap<string, Tensor>,
  name: string,
): Exclude<EncoderInput, string | readonly string[]> {
  const ids = tensors.get(`${name}.input_ids`)!
  return {
    inputIds: { data: ids.data as Int32Array, shape: ids.shape },
    attentionMask: tensors.get(`${name}.attention_mask`)?.data as Int32Array | undefined,
  }
}
