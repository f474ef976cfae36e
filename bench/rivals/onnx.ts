/**
 * The slice for onnxruntime: the graph that exporting Hugging Face's T5 and optimising it leaves, weights beside it.
 * What onnxruntime has a faster operator for is written with that operator:
 *   SimplifiedLayerNormalization, SkipSimplifiedLayerNormalization (norm and residual), FastGelu,
 *   MultiHeadAttention (scores + bias, softmax and sum in one, no transposed copies)
 * The bias is a constant [1, heads, tokens, tokens], the shapes are fixed, and there is no mask: nothing is left to compute
 * but the encoder.
 */
import { t5Sizes } from '../../src/families/t5.js'
import { type Architecture } from '../../src/model/architecture.js'
import { familyOf } from '../../src/families/index.js'
import { sizeName, type Size } from './slice.js'

/** f32: MatMul. int8: DynamicQuantizeLinear + MatMulInteger. int4: MatMulNBits. */
export type OnnxPrecision = 'f32' | 'int8' | 'int4'

/** TensorProto.DataType */
export const TYPES = { f32: 1, u8: 2, i8: 3, i64: 7 } as const
export type Type = keyof typeof TYPES

/** Weights in one group of MatMulNBits. */
export const GROUP = 32

export interface Initializer {
  readonly name: string
  readonly type: Type
  readonly dims: readonly number[]
}

type Attribute = number | readonly number[]

interface Node {
  readonly opType: string
  readonly domain: string
  readonly input: readonly string[]
  readonly output: readonly string[]
  readonly attribute: readonly object[]
}

const MICROSOFT = 'com.microsoft'

/** Attributes of type FLOAT; whole numbers elsewhere are INT. */
const FLOATS = new Set(['epsilon', 'scale'])

function attribute(name: string, value: Attribute): object {
  if (typeof value !== 'number') return { name, type: 7, ints: value }
  return FLOATS.has(name) ? { name, type: 1, f: value } : { name, type: 2, i: value }
}

export class Graph {
  readonly nodes: Node[] = []
  readonly initializers: Initializer[] = []

  /** @returns its first output, and others where more are asked for */
  node(
    op: string,
    input: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    { domain = '', outputs = 1 } = {},
  ): [string, ...string[]] {
    const [first, ...more] = Array.from({ length: outputs }, (_, i) => `${op}_${this.nodes.length}_${i}`)
    const output: [string, ...string[]] = [first!, ...more]
    const list = Object.entries(attributes).map(([name, value]) => attribute(name, value))
    this.nodes.push({ opType: op, domain, input, output, attribute: list })
    return output
  }

  constant(name: string, type: Type, dims: readonly number[]): string {
    if (!this.initializers.some((known) => known.name === name)) this.initializers.push({ name, type, dims })
    return name
  }
}

/** x [.., deep] times a weight [out, deep] of the checkpoint. */
type Product = (x: string, name: string, out: number, deep: number) => string

function products(graph: Graph, precision: OnnxPrecision): Product {
  if (precision === 'f32') {
    return (x, name, out, deep) =>
      graph.node('MatMul', [x, graph.constant(`${name}.f32`, 'f32', [deep, out])])[0]
  }
  if (precision === 'int4') {
    return (x, name, out, deep) => {
      const groups = deep / GROUP
      const weights = graph.constant(`${name}.int4`, 'u8', [out, groups, GROUP / 2])
      const scales = graph.constant(`${name}.int4.scale`, 'f32', [out * groups])
      const attributes = { K: deep, N: out, bits: 4, block_size: GROUP, accuracy_level: 4 }
      return graph.node('MatMulNBits', [x, weights, scales], attributes, { domain: MICROSOFT })[0]
    }
  }
  const quantised = new Map<string, [string, ...string[]]>()
  return (x, name, out, deep) => {
    const rows = quantised.get(x) ?? graph.node('DynamicQuantizeLinear', [x], {}, { outputs: 3 })
    quantised.set(x, rows)
    const [bytes, scale, zero] = rows
    const weights = graph.constant(`${name}.int8`, 'i8', [deep, out])
    const zeros = graph.constant(`${name}.int8.zero`, 'i8', [out])
    const [sums] = graph.node('MatMulInteger', [bytes, weights, zero!, zeros])
    const [floats] = graph.node('Cast', [sums], { to: TYPES.f32 })
    const [scales] = graph.node('Mul', [scale!, graph.constant(`${name}.int8.scale`, 'f32', [out])])
    return graph.node('Mul', [floats, scales])[0]
  }
}

export function encoderGraph(
  a: Architecture,
  precision: OnnxPrecision,
  size: Size,
): { graph: Graph; output: string } {
  const graph = new Graph()
  const g = t5Sizes(a)
  const product = products(graph, precision)
  const inner = g.heads * g.headDim
  const norm = (x: string, name: string): string =>
    graph.node('SimplifiedLayerNormalization', [x, graph.constant(name, 'f32', [g.width])], {
      axis: -1,
      epsilon: g.epsilon,
    })[0]
  /** The stream after a residual was added, and its norm. */
  const addNorm = (h: string, residual: string, name: string): [h: string, x: string] => {
    const input = [h, residual, graph.constant(name, 'f32', [g.width])]
    const options = { domain: MICROSOFT, outputs: 4 }
    const [x, , , sum] = graph.node(
      'SkipSimplifiedLayerNormalization',
      input,
      { epsilon: g.epsilon },
      options,
    )
    return [sum!, x]
  }

  const [embedding, finalNorm] = familyOf(a)
    .fixed(a)
    .map(({ name }) => name)
  const names = Array.from({ length: 2 * g.blocks }, (_, s) =>
    familyOf(a)
      .subBlock(a, s)
      .map(({ name }) => name),
  )
  const bias = graph.constant(`bias.${size.tokens}`, 'f32', [1, g.heads, size.tokens, size.tokens])
  const table = graph.constant(embedding!, 'f32', [g.vocab, g.width])
  let [h] = graph.node('Gather', [table, 'input_ids'])
  let x = norm(h, names[0]![0]!)
  for (let s = 0; s < names.length; s++) {
    const [, ...weights] = names[s]! as [string, string, string, string, string]
    let residual: string
    if (s % 2 === 0) {
      const qkv = weights.slice(0, 3).map((name) => product(x, name, inner, g.width))
      const attributes = { num_heads: g.heads, scale: 1 } // T5 does not divide by the root of headDim
      const [sums] = graph.node('MultiHeadAttention', [...qkv, '', '', bias], attributes, {
        domain: MICROSOFT,
      })
      residual = product(sums, weights[3], g.width, inner)
    } else {
      const [up] = graph.node('FastGelu', [product(x, weights[0], g.ff, g.width)], {}, { domain: MICROSOFT })
      const [gated] = graph.node('Mul', [up, product(x, weights[1], g.ff, g.width)])
      residual = product(gated, weights[2], g.width, g.ff)
    }
    ;[h, x] = addNorm(h, residual, names[s + 1]?.[0] ?? finalNorm!)
  }
  return { graph, output: x }
}

/** ModelProto as an object: every initializer's bytes are in the file of its name, in folder `data` beside the model. */
export function modelProto(g: Architecture, precision: OnnxPrecision, size: Size, data: string): object {
  const { graph, output } = encoderGraph(g, precision, size)
  const valueInfo = (name: string, elemType: number, dims: readonly number[]): object => ({
    name,
    type: { tensorType: { elemType, shape: { dim: dims.map((dimValue) => ({ dimValue })) } } },
  })
  return {
    irVersion: 8,
    producerName: 'skrr bench/rivals',
    opsetImport: [
      { domain: '', version: 17 },
      { domain: MICROSOFT, version: 1 },
    ],
    graph: {
      name: `t5 ${precision} ${sizeName(size)}`,
      node: graph.nodes,
      input: [valueInfo('input_ids', TYPES.i64, [size.batch, size.tokens])],
      output: [valueInfo(output, TYPES.f32, [size.batch, size.tokens, g.width])],
      initializer: graph.initializers.map(({ name, type, dims }) => ({
        name,
        dims,
        dataType: TYPES[type],
        dataLocation: 1,
        externalData: [{ key: 'location', value: `${data}/${name}` }],
      })),
    },
  }
}
