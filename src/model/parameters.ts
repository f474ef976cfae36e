import { InputError } from '../errors.js'
import { show } from '../io/show.js'
import { attentionOf, type Architecture, type Attention, type Norm } from './architecture.js'
import { checkArchitecture } from './check-architecture.js'

/** How many parameters an encoder has, counted from its architecture. */

/** @throws InputError */
export function blocksOf(a: Architecture): number {
  checkArchitecture(a)
  return a.subBlocks.length / 2
}

/** @throws InputError */
export function subBlockParameters(architecture: Architecture, subBlock: number): number {
  checkArchitecture(architecture)
  const { width, subBlocks } = architecture
  const s = Number.isInteger(subBlock) ? subBlocks[subBlock] : undefined
  if (s === undefined) {
    const expected = `a sub-block of 0 to ${subBlocks.length - 1}`
    throw new InputError({ field: 'subBlock', found: show(subBlock), expected })
  }
  const norms = normParameters(s.norm, width) + normParameters(s.postNorm, width)
  if (s.kind === 'feedForward') {
    const ups = s.gated ? 2 : 1
    return norms + (ups + 1) * s.inner * width + (s.bias ? ups * s.inner + width : 0)
  }
  const outputs = (s.heads + 2 * s.keyHeads) * s.headDim
  const matrices = (outputs + s.heads * s.headDim) * width
  const biases = { none: 0, qkv: outputs, all: outputs + width }[s.bias]
  const ownTable = s.distance.buckets?.shared === true ? 0 : tableParameters(s)
  return norms + matrices + biases + 2 * normParameters(s.headNorm, s.headDim) + ownTable
}

/** Parameters outside the sub-blocks, which every plan keeps: embedding, final norm, a shared distance table. */
export function fixedParameters(a: Architecture): number {
  const { width, input, output } = a
  const attention = attentionOf(a)
  return (
    (input.vocab + (input.positions ?? 0)) * width +
    normParameters(output.norm, width) +
    (output.projection?.width ?? 0) * width +
    (attention?.distance.buckets?.shared === true ? tableParameters(attention) : 0)
  )
}

/** Parameters of the dense encoder, embedding included. @throws InputError */
export function denseParameters(a: Architecture): number {
  checkArchitecture(a)
  return a.subBlocks.reduce((sum, _, s) => sum + subBlockParameters(a, s), fixedParameters(a))
}

const tableParameters = ({ heads, distance: { buckets } }: Attention): number => (buckets?.count ?? 0) * heads

/** An RMS norm has factors, a layer norm has factors and shifts. */
const normParameters = (norm: Norm | undefined, width: number): number =>
  norm === undefined ? 0 : norm.kind === 'rms' ? width : 2 * width
