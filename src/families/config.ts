import { z } from 'zod'
import { CheckpointError } from '../errors.js'
import type { Architecture } from '../model/architecture.js'
import { t5Architecture, t5Sizes, type T5Sizes } from './shapes.js'
import type { DType } from '../model/dtype.js'
import { check, show } from '../io/check.js'

/** config.json of Hugging Face's T5, mT5 and UMT5, to and from an Architecture. */
export const T5_MODEL_TYPES = ['t5', 'mt5', 'umt5'] as const

/** What other model types are, for those who pointed at the wrong folder. */
const OTHER_TYPES: Readonly<Record<string, string>> = {
  clip: 'a CLIP model',
  clip_text_model: 'a CLIP text encoder',
  bert: 'a BERT encoder',
  roberta: 'a RoBERTa encoder',
  'xlm-roberta': 'an XLM-RoBERTa encoder',
  llama: 'a Llama language model',
  gemma: 'a Gemma language model',
  gemma2: 'a Gemma 2 language model',
  qwen2: 'a Qwen 2 language model',
  qwen2_5_vl: 'a Qwen 2.5 VL language model',
  chatglm: 'a ChatGLM language model',
  longt5: 'a LongT5 encoder, whose attention is another',
}

const natural = (max: number): z.ZodInt => {
  const expected = `an integer from 1 to ${max}`
  return z.int(expected).min(1, expected).max(max, expected)
}

// The limits are far above any model there is; they keep products of sizes exact and allocations sane.
const schema = z.object(
  {
    d_model: natural(65536),
    d_kv: natural(1024),
    d_ff: natural(1 << 20),
    num_heads: natural(1024),
    num_layers: natural(1024),
    vocab_size: z
      .int('a number of tokens')
      .min(0, 'a number of tokens')
      .max(1 << 24, 'at most 16777216 tokens'),
    relative_attention_num_buckets: z
      .int('an integer from 4 to 4096')
      .min(4, 'an integer from 4 to 4096')
      .max(4096, 'an integer from 4 to 4096'),
    relative_attention_max_distance: natural(1 << 24).optional(),
    layer_norm_epsilon: z.number('a small positive number').gt(0, 'a positive number').max(1, 'at most 1'),
    feed_forward_proj: z.string('the name of an activation').optional(),
    dense_act_fn: z.string('the name of an activation').optional(),
    is_gated_act: z.boolean('true or false').optional(),
  },
  'a JSON object',
)

/** The architecture a config.json describes. `file` is named in errors. Throws CheckpointError. */
export function architectureFromConfig(file: string, json: unknown): Architecture {
  const type = modelType(file, json)
  const config = check(schema, json, file)
  const buckets = config.relative_attention_num_buckets
  // old configs lack it; Hugging Face's default
  const maxDistance = config.relative_attention_max_distance ?? 128
  // half of the buckets are for one direction, half of those for exact distances; the rest reach from there to maxDistance
  if (maxDistance <= Math.floor(buckets / 4)) {
    throw new CheckpointError({
      file,
      field: 'relative_attention_max_distance',
      found: String(maxDistance),
      expected: `more than a quarter of the ${buckets} buckets`,
    })
  }
  return t5Architecture({
    family: type === 'umt5' ? 'umt5' : 't5',
    blocks: config.num_layers,
    width: config.d_model,
    heads: config.num_heads,
    headDim: config.d_kv,
    ff: config.d_ff,
    vocab: config.vocab_size,
    buckets,
    maxDistance,
    epsilon: config.layer_norm_epsilon,
    ...feedForward(file, type, config),
  })
}

/** The model type of an unchecked config.json, where it has one at all. */
export function declaredModelType(json: unknown): string | undefined {
  const declared = z.object({ model_type: z.string() }).safeParse(json)
  return declared.success ? declared.data.model_type : undefined
}

function modelType(file: string, json: unknown): string {
  const { model_type: declared, architectures } = check(
    z.object(
      {
        model_type: z.string('a model type').optional(),
        architectures: z.array(z.string('a class name'), 'a list of class names').optional(),
      },
      'a JSON object',
    ),
    json,
    file,
  )
  const type = declared ?? /^(T5|MT5|UMT5)[A-Z]/.exec(architectures?.[0] ?? '')?.[1]?.toLowerCase()
  if (type !== undefined && (T5_MODEL_TYPES as readonly string[]).includes(type)) return type
  const looksLike = type !== undefined && Object.hasOwn(OTHER_TYPES, type) ? `, ${OTHER_TYPES[type]}` : ''
  throw new CheckpointError({
    file,
    field: 'model_type',
    found: `${show(type)}${looksLike}`,
    expected: `a T5-family encoder (${T5_MODEL_TYPES.join(', ')})`,
  })
}

/**
 * As T5Config does: feed_forward_proj is "[gated-]activation", where "gated-gelu" means the tanh form; dense_act_fn and
 * is_gated_act, written by newer versions, win. T5 v1.0 has none of them and is plain ReLU.
 */
function feedForward(
  file: string,
  type: string,
  config: z.infer<typeof schema>,
): Pick<T5Sizes, 'activation' | 'gated'> {
  const projection = config.feed_forward_proj ?? (type === 't5' ? 'relu' : 'gated-gelu')
  const gated = config.is_gated_act ?? projection.startsWith('gated-')
  const implied = projection === 'gated-gelu' ? 'gelu_new' : projection.replace(/^gated-/, '')
  const activation = config.dense_act_fn ?? implied
  if (activation === 'relu') return { activation: 'relu', gated }
  if (activation === 'gelu_new' || activation === 'gelu_pytorch_tanh')
    return { activation: 'gelu_tanh', gated }
  throw new CheckpointError({
    file,
    field: config.dense_act_fn === undefined ? 'feed_forward_proj' : 'dense_act_fn',
    found: show(config.dense_act_fn ?? projection),
    expected: 'relu, or GELU in its tanh form (gelu_new, gated-gelu)',
  })
}

const TORCH_DTYPES: Readonly<Partial<Record<DType, string>>> = {
  F32: 'float32',
  F16: 'float16',
  BF16: 'bfloat16',
  F8_E4M3: 'float8_e4m3fn',
}

/** A config.json that Hugging Face's T5EncoderModel or UMT5EncoderModel takes. Token ids are those of the T5 family. */
export function configFromArchitecture(a: Architecture, dtype: DType): Record<string, unknown> {
  const g = t5Sizes(a)
  const relu = g.activation === 'relu'
  return {
    architectures: [g.family === 'umt5' ? 'UMT5EncoderModel' : 'T5EncoderModel'],
    model_type: g.family,
    d_model: g.width,
    d_kv: g.headDim,
    d_ff: g.ff,
    num_heads: g.heads,
    num_layers: g.blocks,
    num_decoder_layers: g.blocks,
    vocab_size: g.vocab,
    relative_attention_num_buckets: g.buckets,
    relative_attention_max_distance: g.maxDistance,
    layer_norm_epsilon: g.epsilon,
    feed_forward_proj: `${g.gated ? 'gated-' : ''}${relu ? 'relu' : g.gated ? 'gelu' : 'gelu_new'}`,
    dense_act_fn: relu ? 'relu' : 'gelu_new',
    is_gated_act: g.gated,
    dropout_rate: 0.1,
    is_encoder_decoder: true,
    tie_word_embeddings: false,
    use_cache: false,
    pad_token_id: 0,
    eos_token_id: 1,
    decoder_start_token_id: 0,
    torch_dtype: TORCH_DTYPES[dtype],
  }
}
