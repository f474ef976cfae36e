import { CheckpointError } from '../errors.js'
import type { Architecture } from '../model/architecture.js'
import { t5Architecture } from './shapes.js'
import type { HeaderTensor } from '../checkpoint/safetensors.js'

/**
 * The architecture of an encoder that comes as one file without config.json. Shapes tell all but two numbers, and those are
 * the same in every T5, mT5 and UMT5 ever released: epsilon 1e-6, largest distance 128. `tensors` goes by canonical names.
 */
export function inferArchitecture(file: string, tensors: ReadonlyMap<string, HeaderTensor>): Architecture {
  const [buckets, heads] = matrix(file, tensors, `${attention(0)}.relative_attention_bias.weight`)
  if (buckets < 4) {
    const field = `${attention(0)}.relative_attention_bias.weight`
    throw new CheckpointError({ file, field, found: `${buckets} buckets`, expected: 'at least 4' })
  }
  const [inner, width] = matrix(file, tensors, `${attention(0)}.q.weight`)
  if (inner % heads !== 0) {
    throw new CheckpointError({
      file,
      field: `${attention(0)}.q.weight`,
      found: `${inner} rows`,
      expected: `a multiple of the ${heads} heads`,
    })
  }
  const dense = 'encoder.block.0.layer.1.DenseReluDense'
  const gated = tensors.has(`${dense}.wi_0.weight`)
  const [ff] = matrix(file, tensors, `${dense}.${gated ? 'wi_0' : 'wi'}.weight`)
  const vocab = tensors.has('shared.weight') ? matrix(file, tensors, 'shared.weight')[0] : 0
  const biasPerBlock = tensors.has(`${attention(1)}.relative_attention_bias.weight`)
  return t5Architecture({
    family: biasPerBlock ? 'umt5' : 't5',
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
  })
}

const attention = (block: number): string => `encoder.block.${block}.layer.0.SelfAttention`

function countBlocks(tensors: ReadonlyMap<string, HeaderTensor>): number {
  const blocks = new Set<string>()
  for (const name of tensors.keys()) {
    const block = /^encoder\.block\.(\d+)\./.exec(name)?.[1]
    if (block !== undefined) blocks.add(block)
  }
  // how many, not the highest number: block.1e9 would be a loop without end, a gap is found as missing tensors
  return blocks.size
}

function matrix(file: string, tensors: ReadonlyMap<string, HeaderTensor>, name: string): [number, number] {
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
