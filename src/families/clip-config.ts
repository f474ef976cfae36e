import { z } from 'zod'
import { CheckpointError } from '../errors.js'
import { check, show } from '../io/check.js'
import {
  attentionOf,
  feedForwardOf,
  type Architecture,
  type Attention,
  type Pooling,
} from '../model/architecture.js'
import type { PlainEncoding } from '../model/encoding.js'
import { blocksOf } from '../model/parameters.js'
import { ACTIVATION_WORDS, activationOf, nameOfActivation, TORCH_DTYPES } from './hugging-face.js'
import { LIMITS } from './limits.js'
import { checkMatrix, epsilon, integer } from './numbers.js'

/** What config.json says of a CLIP text tower: alone, or as the `text_config` of a whole CLIP. */

// defaults of CLIPTextConfig; config.json leaves out what is equal to them
const schema = z.object(
  {
    vocab_size: integer(LIMITS.vocab).default(49408),
    hidden_size: integer(LIMITS.width).default(512),
    intermediate_size: integer(LIMITS.inner).default(2048),
    num_hidden_layers: integer(LIMITS.blocks).default(12),
    num_attention_heads: integer(LIMITS.heads).default(8),
    max_position_embeddings: integer(LIMITS.positions).default(77),
    hidden_act: z.string('the name of an activation').default('quick_gelu'),
    layer_norm_eps: epsilon.default(1e-5),
    eos_token_id: integer(LIMITS.vocab).default(49407),
  },
  'a JSON object',
)
const projecting = z.object({ projection_dim: integer(LIMITS.width).default(512) })
const whole = z.object({
  text_config: z.looseObject({}).nullish(),
  text_config_dict: z.looseObject({}).nullish(),
  architectures: z.array(z.string()).optional(),
})

/** @throws CheckpointError */
export function clipFromConfig(file: string, modelType: string, json: unknown): Architecture {
  const { text_config: text, text_config_dict: overriding, architectures } = check(whole, json, file)
  const isWhole = modelType === 'clip'
  const a = isWhole
    ? clipArchitecture(file, { ...text, ...overriding }, 'text_config')
    : clipArchitecture(file, json, '')
  const projects = isWhole || architectures?.[0] === 'CLIPTextModelWithProjection'
  if (!projects) return a
  const { projection_dim: width } = check(projecting, json, file)
  return { ...a, output: { ...a.output, projection: { from: 'pooled', width } } }
}

/** @param at the field that `json` is; '' for all of it */
export function clipArchitecture(file: string, json: unknown, at: string): Architecture {
  const config = check(schema, json, file, at === '' ? undefined : at)
  const { hidden_size: width, num_attention_heads: heads, intermediate_size: inner } = config
  const fail = (field: string, found: string, expected: string): never => {
    throw new CheckpointError({ file, field: at === '' ? field : `${at}.${field}`, found, expected })
  }
  if (width % heads !== 0) fail('num_attention_heads', String(heads), `a divisor of the width ${width}`)
  if (width / heads > LIMITS.headDim.max)
    fail('num_attention_heads', String(heads), `more, for a width of ${width}`)
  checkMatrix(file, 'hidden_size', width, width)
  checkMatrix(file, 'intermediate_size', inner, width)
  checkMatrix(file, 'vocab_size', config.vocab_size, width)
  checkMatrix(file, 'max_position_embeddings', config.max_position_embeddings, width)
  const activation =
    activationOf(config.hidden_act) ??
    fail('hidden_act', show(config.hidden_act), `one of ${ACTIVATION_WORDS.join(', ')}`)
  const norm = { kind: 'layer', epsilon: config.layer_norm_eps } as const
  const headDim = width / heads
  const attention: Attention = {
    kind: 'attention',
    norm,
    heads,
    keyHeads: heads,
    headDim,
    bias: 'all',
    scale: headDim ** -0.5,
    distance: { ahead: 0 },
    unseeing: 'zero',
  }
  const feedForward = { kind: 'feedForward', norm, inner, gated: false, activation, bias: true } as const
  return {
    family: 'clip',
    width,
    subBlocks: Array.from({ length: 2 * config.num_hidden_layers }, (_, s) =>
      s % 2 === 0 ? attention : feedForward,
    ),
    input: { vocab: config.vocab_size, positions: config.max_position_embeddings },
    output: { norm, pooled: pooling(config.eos_token_id) },
  }
}

/**
 * As CLIPTextTransformer.forward: configs of before 2023 say 2, which is no token of theirs, and then the largest id is the end; an
 * id that is said is looked for.
 */
const pooling = (eos: number): Pooling => (eos === 2 ? { row: 'argmax' } : { row: 'firstEos', eos })

/** A config.json of CLIPTextModel or CLIPTextModelWithProjection. */
export function clipConfig(a: Architecture, encoding: PlainEncoding): Record<string, unknown> {
  const { input, output, width } = a
  const { heads } = attentionOf(a)!
  const { inner, activation } = feedForwardOf(a)!
  const { pooled, projection } = output
  return {
    architectures: [projection === undefined ? 'CLIPTextModel' : 'CLIPTextModelWithProjection'],
    model_type: 'clip_text_model',
    vocab_size: input.vocab,
    hidden_size: width,
    intermediate_size: inner,
    num_hidden_layers: blocksOf(a),
    num_attention_heads: heads,
    max_position_embeddings: input.positions,
    hidden_act: nameOfActivation(activation),
    layer_norm_eps: output.norm.epsilon,
    projection_dim: projection?.width ?? width,
    attention_dropout: 0,
    initializer_factor: 1,
    bos_token_id: 0,
    eos_token_id: pooled !== undefined && 'eos' in pooled ? pooled.eos : 2,
    pad_token_id: 1,
    torch_dtype: TORCH_DTYPES[encoding],
  }
}
