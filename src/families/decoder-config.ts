import { z } from 'zod'
import { CheckpointError } from '../errors.js'
import { check, show } from '../io/check.js'
import type { Activation, Attention, Distance } from '../model/architecture.js'
import { ACTIVATION_WORDS, activationOf } from './hugging-face.js'
import { LIMITS } from './limits.js'
import { checkMatrix, epsilon, integer } from './numbers.js'

/** What config.json says of a decoder-only language model, in both generations of keys; classes differ in their defaults alone. */

const object = z.looseObject({}, 'an object')
const flag = z.boolean('true or false')
const layerType = z.enum(['full_attention', 'sliding_attention'], 'full_attention or sliding_attention')

const schema = z.object(
  {
    vocab_size: integer(LIMITS.vocab),
    hidden_size: integer(LIMITS.width),
    intermediate_size: integer(LIMITS.inner),
    num_hidden_layers: integer(LIMITS.blocks),
    num_attention_heads: integer(LIMITS.heads),
    num_key_value_heads: integer(LIMITS.heads).nullish(),
    head_dim: integer(LIMITS.headDim).nullish(),
    rms_norm_eps: epsilon,
    hidden_act: z.string('the name of an activation').optional(),
    hidden_activation: z.string('the name of an activation').nullish(),
    attention_bias: flag.optional(),
    mlp_bias: flag.optional(),
    max_position_embeddings: integer(LIMITS.distance),
    pad_token_id: integer(LIMITS.vocab).nullish(),

    layer_types: z.array(layerType, 'a list of layer types').nullish(),
    sliding_window: integer({ ...LIMITS.distance, min: 1 }).nullish(),
    use_sliding_window: flag.nullish(),
    max_window_layers: z.number('an integer').nullish(),
    use_bidirectional_attention: flag.nullish(),
    no_rope_layers: z.array(z.literal([0, 1], '0 or 1'), 'a list of 0 and 1').nullish(),
    no_rope_layer_interval: integer(LIMITS.blocks).optional(),
    // gemma's
    sliding_window_pattern: integer(LIMITS.blocks).nullish(),
    _sliding_window_pattern: integer(LIMITS.blocks).nullish(),
    query_pre_attn_scalar: z
      .number('a number from 1 to 65536')
      .min(1, 'a number from 1 to 65536')
      .max(65536, 'a number from 1 to 65536')
      .optional(),
    attn_logit_softcapping: z
      .number('a positive number')
      .min(1e-3, 'a number from 0.001')
      .max(1e6, 'a number up to 1000000')
      .nullish(),

    // rotations: rope-config.ts
    rope_theta: z.number('a number').nullish(),
    rope_local_base_freq: z.number('a number').nullish(),
    rope_scaling: object.nullish(),
    rope_parameters: object.nullish(),
    partial_rotary_factor: z.number('a number').nullish(),
    original_max_position_embeddings: integer(LIMITS.distance).nullish(),
  },
  'a JSON object',
)

/** Defaults of a class, under the names of config.json. */
export type Defaults = Readonly<Record<string, unknown>>

export interface DecoderConfig extends z.output<typeof schema> {
  readonly file: string
  /** `text_config.` where the model's config is nested in another's. */
  readonly at: string
  readonly heads: number
  readonly keyHeads: number
  readonly headDim: number
  readonly activation: Activation
}

/**
 * Reads the text part of a config.json. Null stands for itself, as in Python: only an absent key takes the class's default.
 * @param at the key of the text part, '' where it is the whole. @throws CheckpointError
 */
export function readDecoderConfig(
  file: string,
  json: unknown,
  { at = '', defaults }: { at?: string; defaults: Defaults },
): DecoderConfig {
  const nested = at === '' ? undefined : at
  const given = defined(check(object, json, file, nested))
  const rope = given['rope_parameters'] ?? defaults['rope_parameters'] // null asks for the class's
  const config = check(schema, { ...defaults, ...given, rope_parameters: rope }, file, nested)
  const where = nested === undefined ? '' : `${nested}.`
  const heads = config.num_attention_heads
  const keyHeads = config.num_key_value_heads ?? heads
  if (heads % keyHeads !== 0) {
    const expected = `a divisor of the ${heads} heads`
    throw new CheckpointError({ file, field: `${where}num_key_value_heads`, found: `${keyHeads}`, expected })
  }
  const headDim = config.head_dim ?? Math.floor(config.hidden_size / heads)
  if (headDim % 2 !== 0 || headDim === 0) {
    const expected = 'an even width of heads: their channels are rotated in pairs'
    throw new CheckpointError({ file, field: `${where}head_dim`, found: `${headDim}`, expected })
  }
  checkMatrix(file, `${where}head_dim`, heads * headDim, config.hidden_size)
  checkMatrix(file, `${where}intermediate_size`, 2 * config.intermediate_size, config.hidden_size)
  checkMatrix(file, `${where}vocab_size`, config.vocab_size, config.hidden_size)
  for (const list of ['layer_types', 'no_rope_layers'] as const) {
    checkLength(file, `${where}${list}`, config[list], config.num_hidden_layers)
  }
  return { ...config, file, at: where, heads, keyHeads, headDim, activation: activation(file, where, config) }
}

/** Without keys that hold undefined, as objects made in code may. */
const defined = (json: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(json).filter(([, value]) => value !== undefined))

function checkLength(
  file: string,
  field: string,
  list: readonly unknown[] | null | undefined,
  n: number,
): void {
  if (list === null || list === undefined || list.length === n) return
  const expected = `${n}, one for each layer`
  throw new CheckpointError({ file, field, found: `${list.length} entries`, expected })
}

function activation(file: string, where: string, config: z.output<typeof schema>): Activation {
  const key = config.hidden_activation == null ? 'hidden_act' : 'hidden_activation'
  const known = activationOf(config[key] ?? '')
  if (known !== undefined) return known
  const expected = `one of ${ACTIVATION_WORDS.join(', ')}`
  throw new CheckpointError({ file, field: `${where}${key}`, found: show(config[key]), expected })
}

/** An error about a field that says what this family cannot be. */
export const unsupported = (
  { file, at }: Pick<DecoderConfig, 'file' | 'at'>,
  field: string,
  found: unknown,
  expected: string,
): CheckpointError => new CheckpointError({ file, field: `${at}${field}`, found: show(found), expected })

/** What every attention of these families has in common; keys after a query are not seen. */
export const attentionOfConfig = (
  config: DecoderConfig,
): Pick<Attention, 'kind' | 'norm' | 'heads' | 'keyHeads' | 'headDim'> => ({
  kind: 'attention',
  norm: { kind: 'rms', epsilon: config.rms_norm_eps },
  heads: config.heads,
  keyHeads: config.keyHeads,
  headDim: config.headDim,
})

/** A window of `keys` keys, the query's own counted in; all before it where there is none. */
export const causal = (keys: number | null | undefined): Distance =>
  keys == null ? { ahead: 0 } : { ahead: 0, back: keys - 1 }
