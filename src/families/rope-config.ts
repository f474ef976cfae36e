import { z } from 'zod'
import { check, show } from '../io/check.js'
import { CheckpointError } from '../errors.js'
import type { Rope, RopeScaling } from '../model/architecture.js'
import type { DecoderConfig } from './decoder-config.js'
import { LIMITS } from './limits.js'
import { integer, positive } from './numbers.js'

/**
 * The rotation a config.json describes: `rope_theta` and `rope_scaling` as transformers 4 wrote them, `rope_parameters` as 5 does
 * (modeling_rope_utils.py, convert_rope_params_to_dict). There rope_scaling wins, and numbers inside win over those beside.
 */

const bounded = (min: number, max: number) => {
  const expected = `a number from ${min} to ${max}`
  return z.number(expected).min(min, expected).max(max, expected)
}
const kind = z.string('the name of a rotation').optional()
const positions = integer({ ...LIMITS.distance, min: 1 })

const schema = z.object({
  rope_type: kind,
  type: kind,
  rope_theta: bounded(1.0001, 1e15),
  partial_rotary_factor: bounded(0, 1),
  factor: bounded(1, 1e6).nullish(),
  low_freq_factor: positive.optional(),
  high_freq_factor: positive.optional(),
  original_max_position_embeddings: positions.optional(),
  attention_factor: positive.nullish(),
  mscale: bounded(0, 1e3).nullish(),
  mscale_all_dim: bounded(0, 1e3).nullish(),
  beta_fast: bounded(0, 1e6).nullish(),
  beta_slow: bounded(0, 1e6).nullish(),
  truncate: z.literal(true, 'true').optional(),
  llama_4_scaling_beta: positive.optional(),
})
type Parameters = z.output<typeof schema>

export interface RopeDefaults {
  /** Where nothing says it. */
  readonly theta: number
  /** Share of a head's channels that are rotated; 1 where absent. */
  readonly partial?: number
}

interface Place {
  readonly file: string
  readonly field: string
}

/** The rotation of layers of a type. @throws CheckpointError */
export function ropeOf(
  config: DecoderConfig,
  layerType: 'full_attention' | 'sliding_attention',
  { theta, partial = 1 }: RopeDefaults,
): Rope {
  const { key, raw } = parametersOf(config, layerType)
  const place = { file: config.file, field: `${config.at}${key}` }
  return readRope(config, raw, place, {
    rope_theta: config.rope_theta ?? theta,
    partial_rotary_factor: config.partial_rotary_factor ?? partial,
  })
}

/** The parameters of these layers, which may lie under their type's name. */
function parametersOf(config: DecoderConfig, layerType: string): { key: string; raw: object } {
  const scaling = config.rope_scaling
  const isGiven = scaling != null && Object.keys(scaling).length > 0
  const name = isGiven ? 'rope_scaling' : 'rope_parameters'
  const all = (isGiven ? scaling : config.rope_parameters) ?? {}
  const nested = all[layerType]
  return typeof nested === 'object' && nested !== null
    ? { key: `${name}.${layerType}`, raw: nested }
    : { key: name, raw: all }
}

/** @param beside numbers for those that `raw` leaves out */
export function readRope(
  config: DecoderConfig,
  raw: object,
  place: Place,
  beside: { rope_theta: number; partial_rotary_factor: number },
): Rope {
  const parameters = check(schema, { ...beside, ...raw }, place.file, place.field)
  const rotated = Math.floor(config.headDim * parameters.partial_rotary_factor)
  if (rotated < 2 || rotated % 2 !== 0) {
    const found = `${rotated} of ${config.headDim} channels rotated`
    throw new CheckpointError({ ...place, found, expected: 'an even number of them' })
  }
  const scaling = scalingOf(parameters, config, place)
  const beta = parameters.llama_4_scaling_beta
  const period = parameters.original_max_position_embeddings
  return {
    theta: parameters.rope_theta,
    ...(rotated < config.headDim && { rotated }),
    ...(scaling && { scaling }),
    ...(beta !== undefined && period !== undefined && { query: { beta, period } }),
  }
}

function scalingOf(
  parameters: Parameters,
  { max_position_embeddings: max, original_max_position_embeddings: original }: DecoderConfig,
  place: Place,
): RopeScaling | undefined {
  const name = parameters.rope_type ?? parameters.type ?? 'default'
  const originalPositions = original ?? parameters.original_max_position_embeddings ?? max
  switch (name) {
    case 'default':
    case 'mrope': // three rows of positions, which are one for text
      return undefined
    case 'linear':
      return { kind: 'linear', factor: required(parameters, 'factor', place) }
    case 'llama3':
      return {
        kind: 'llama3',
        factor: required(parameters, 'factor', place),
        lowFreqFactor: required(parameters, 'low_freq_factor', place),
        highFreqFactor: required(parameters, 'high_freq_factor', place),
        originalPositions,
      }
    case 'yarn': {
      const factor = parameters.factor ?? max / originalPositions
      return {
        kind: 'yarn',
        factor,
        betaFast: parameters.beta_fast || 32, // 0 stands for nothing, as in Python
        betaSlow: parameters.beta_slow || 1,
        originalPositions,
        attentionFactor: parameters.attention_factor ?? attentionFactor(parameters, factor),
      }
    }
    default: {
      const expected = 'default, linear, llama3, yarn or mrope'
      throw new CheckpointError({ ...place, field: `${place.field}.rope_type`, found: show(name), expected })
    }
  }
}

/** _compute_yarn_parameters: 1 where both are given and equal. */
function attentionFactor({ mscale, mscale_all_dim: all }: Parameters, factor: number): number {
  const scaled = (by: number): number => (factor <= 1 ? 1 : 0.1 * by * Math.log(factor) + 1)
  return mscale && all ? scaled(mscale) / scaled(all) : scaled(1)
}

function required(
  parameters: Parameters,
  key: 'factor' | 'low_freq_factor' | 'high_freq_factor',
  { file, field }: Place,
): number {
  const value = parameters[key]
  if (value != null) return value
  throw new CheckpointError({ file, field: `${field}.${key}`, found: show(value), expected: 'a number' })
}

/** A scaling under the names of rope_scaling; the theta lies beside it. */
export function scalingToConfig(scaling: RopeScaling): Record<string, unknown> {
  switch (scaling.kind) {
    case 'linear':
      return { rope_type: 'linear', factor: scaling.factor }
    case 'llama3':
      return {
        rope_type: 'llama3',
        factor: scaling.factor,
        low_freq_factor: scaling.lowFreqFactor,
        high_freq_factor: scaling.highFreqFactor,
        original_max_position_embeddings: scaling.originalPositions,
      }
    case 'yarn':
      return {
        rope_type: 'yarn',
        factor: scaling.factor,
        beta_fast: scaling.betaFast,
        beta_slow: scaling.betaSlow,
        original_max_position_embeddings: scaling.originalPositions,
        attention_factor: scaling.attentionFactor,
      }
  }
}
