import { z } from 'zod'
import { CheckpointError } from '../errors.js'
import { check, show } from '../io/check.js'
import type { PlainEncoding } from '../model/encoding.js'
import { TORCH_DTYPES } from './hugging-face.js'
import { LIMITS } from './limits.js'
import { epsilon, integer } from './numbers.js'
import { checkSizes, type SizeFields, type T5Sizes } from './t5-sizes.js'

/** What config.json and the shapes of tensors say of a T5, mT5 or UMT5. */

const schema = z.object(
  {
    d_model: integer(LIMITS.width),
    d_kv: integer(LIMITS.headDim),
    d_ff: integer(LIMITS.inner),
    num_heads: integer(LIMITS.heads),
    num_layers: integer(LIMITS.blocks),
    vocab_size: integer(LIMITS.vocab),
    relative_attention_num_buckets: integer(LIMITS.buckets),
    relative_attention_max_distance: integer(LIMITS.maxDistance).optional(),
    layer_norm_epsilon: epsilon,
    feed_forward_proj: z.string('the name of an activation').optional(),
    dense_act_fn: z.string('the name of an activation').optional(),
    is_gated_act: z.boolean('true or false').optional(),
  },
  'a JSON object',
)

const CONFIG_FIELDS: SizeFields = {
  blocks: 'num_layers',
  width: 'd_model',
  heads: 'num_heads',
  headDim: 'd_kv',
  ff: 'd_ff',
  vocab: 'vocab_size',
  buckets: 'relative_attention_num_buckets',
  maxDistance: 'relative_attention_max_distance',
}

/** The sizes a config.json of this model type gives. `file` is named in errors. Throws CheckpointError. */
export function sizesFromConfig(file: string, type: string, json: unknown): T5Sizes {
  const config = check(schema, json, file)
  const sizes: T5Sizes = {
    family: type === 'umt5' ? 'umt5' : 't5',
    blocks: config.num_layers,
    width: config.d_model,
    heads: config.num_heads,
    headDim: config.d_kv,
    ff: config.d_ff,
    vocab: config.vocab_size,
    buckets: config.relative_attention_num_buckets,
    // old configs lack it; Hugging Face's default
    maxDistance: config.relative_attention_max_distance ?? 128,
    epsilon: config.layer_norm_epsilon,
    ...feedForward(file, type, config),
  }
  return checkSizes(file, sizes, CONFIG_FIELDS)
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

/** A config.json that Hugging Face's T5EncoderModel or UMT5EncoderModel takes. Token ids are those of the T5 family. */
export function configFromSizes(g: T5Sizes, encoding: PlainEncoding): Record<string, unknown> {
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
    torch_dtype: TORCH_DTYPES[encoding],
  }
}

type Shapes = ReadonlyMap<string, { readonly shape: readonly number[] }>

/**
 * The sizes of an encoder that comes as one file without config.json. Shapes tell all but two numbers, and those are
 * the same in every T5, mT5 and UMT5 ever released: epsilon 1e-6, largest distance 128. `tensors` goes by canonical names.
 */
export function sizesFromShapes(file: string, tensors: Shapes): T5Sizes {
  const table = `${attention(0)}.relative_attention_bias.weight`
  const [buckets, heads] = matrix(file, tensors, table)
  const queries = `${attention(0)}.q.weight`
  const [inner, width] = matrix(file, tensors, queries)
  if (inner % heads !== 0) {
    throw new CheckpointError({
      file,
      field: queries,
      found: `${inner} rows`,
      expected: `a multiple of the ${heads} heads`,
    })
  }
  const dense = 'encoder.block.0.layer.1.DenseReluDense'
  const gated = tensors.has(`${dense}.wi_0.weight`)
  const up = `${dense}.${gated ? 'wi_0' : 'wi'}.weight`
  const [ff] = matrix(file, tensors, up)
  const vocab = tensors.has('shared.weight') ? matrix(file, tensors, 'shared.weight')[0] : 0
  const tablePerBlock = tensors.has(`${attention(1)}.relative_attention_bias.weight`)
  const sizes: T5Sizes = {
    family: tablePerBlock ? 'umt5' : 't5',
    blocks: countBlocks(tensors),
    width,
    heads,
    headDim: inner / heads,
    ff,
    vocab,
    buckets,
    maxDistance: 128,
    epsilon: 1e-6,
    activation: gated ? 'gelu_tanh' : 'relu',
    gated,
  }
  return checkSizes(file, sizes, {
    blocks: 'encoder.block',
    width: queries,
    heads: table,
    headDim: queries,
    ff: up,
    vocab: 'shared.weight',
    buckets: table,
    maxDistance: table,
  })
}

const attention = (block: number): string => `encoder.block.${block}.layer.0.SelfAttention`

function countBlocks(tensors: Shapes): number {
  const blocks = new Set<string>()
  for (const name of tensors.keys()) {
    const block = /^encoder\.block\.(\d+)\./.exec(name)?.[1]
    if (block !== undefined) blocks.add(block)
  }
  // how many, not the highest number: block.1e9 would be a loop without end, a gap is found as missing tensors
  return blocks.size
}

function matrix(file: string, tensors: Shapes, name: string): [number, number] {
  const shape = tensors.get(name)?.shape
  const [rows, columns] = shape ?? []
  if (rows !== undefined && columns !== undefined && shape?.length === 2 && rows > 0 && columns > 0) {
    return [rows, columns]
  }
  throw new CheckpointError({
    file,
    field: name,
    found: shape === undefined ? 'nothing' : `[${shape.join(', ')}]`,
    expected: 'a matrix',
    hint: 'The shapes of block 0 tell the architecture where there is no config.json.',
  })
}
