import type { Activation } from '../model/architecture.js'
import type { PlainEncoding } from '../model/encoding.js'

/** Words of config.json that all families share. */

export const TORCH_DTYPES: Readonly<Record<PlainEncoding, string>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  F8_E4M3: 'float8_e4m3fn',
}

/** Names of activations (transformers' activations.py); several may mean one. */
const ACTIVATION_NAMES: Readonly<Record<string, Activation>> = {
  relu: 'relu',
  gelu: 'gelu',
  gelu_new: 'gelu_tanh',
  gelu_pytorch_tanh: 'gelu_tanh',
  quick_gelu: 'quick_gelu',
  silu: 'silu',
  swish: 'silu',
}
export const ACTIVATION_WORDS = Object.keys(ACTIVATION_NAMES)

export const activationOf = (name: string): Activation | undefined =>
  Object.hasOwn(ACTIVATION_NAMES, name) ? ACTIVATION_NAMES[name] : undefined

/** The name that every release knows. */
export const nameOfActivation = (activation: Activation): string =>
  activation === 'gelu_tanh' ? 'gelu_pytorch_tanh' : activation

/**
 * Fields whose numbers are floats there. A whole number has to be written as 8.0: transformers 5 refuses an integer in a field of
 * type float.
 */
const FLOATS = new Set([
  'attention_dropout',
  'attention_factor',
  'attn_logit_softcapping',
  'beta_fast',
  'beta_slow',
  'dropout_rate',
  'factor',
  'final_logit_softcapping',
  'high_freq_factor',
  'initializer_factor',
  'layer_norm_eps',
  'layer_norm_epsilon',
  'llama_4_scaling_beta',
  'low_freq_factor',
  'partial_rotary_factor',
  'rms_norm_eps',
  'rope_local_base_freq',
  'rope_theta',
])

/** The text of a config.json. */
export function configText(config: Readonly<Record<string, unknown>>): string {
  const mark = (key: string, value: unknown): unknown =>
    FLOATS.has(key) && Number.isInteger(value) ? `float ${BigInt(value as number)}` : value
  return `${JSON.stringify(config, mark, 2).replace(/"float (-?\d+)"/g, '$1.0')}\n`
}
