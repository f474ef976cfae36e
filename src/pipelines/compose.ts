import { imagesPerPrompt } from './arguments.js'
import { zerosForNegative } from './sides.js'
import { repeated, tensor } from './tensors.js'
import type { Arguments, Call, Output, PipelineData, SideOfSlot, Tensor } from './types.js'

export type Outputs = Record<string, Output>
export type SidesOfSlots = Readonly<Record<string, SideOfSlot>>

export interface Composed {
  readonly args: Arguments
  readonly index: Call['index']
  readonly denoiser: Call['denoiser']
}

/**
 * A pipeline's tensors under diffusers' names, in its order. Several images of a prompt follow each other, tensors and masks alike:
 * diffusers 0.42.1 orders the masks of auraflow, ltx, lumina2, mochi, prx, qwen-image and sana otherwise than their embeddings, so that
 * prompts of different lengths get each other's.
 */
export function compose(
  data: PipelineData,
  positive: SidesOfSlots,
  negative: SidesOfSlots | undefined,
  { args, index, denoiser }: Composed,
): Outputs {
  const times = imagesPerPrompt(args)
  const call = { args, index, denoiser, imagesPerPrompt: times }
  const ours = data.outputs(positive, { ...call, negative: false })
  let theirs = negative && data.outputs(negative, { ...call, negative: true })
  if (theirs) data.finish?.(ours, theirs)
  else if (zerosForNegative(data, args, index)) theirs = mapOutputs(ours, zerosLike)
  else if (data.negative.when === 'always') theirs = mapOutputs(ours, () => null) // guidance was switched off
  const both: Outputs = { ...ours }
  for (const [name, output] of Object.entries(theirs ?? {})) both[`negative_${name}`] = output
  return inOrder(
    data,
    mapOutputs(both, (output, name) => repeat(data, output, name, times)),
  )
}

const isList = (output: Output): output is readonly Tensor[] => Array.isArray(output)

function repeat(data: PipelineData, output: Output, name: string, times: number): Output {
  const axis = data.batchAxis?.[name.replace(/^negative_/, '')] ?? 0
  if (output === null || axis === 'none') return output
  if (axis === 'list') return isList(output) ? output.flatMap((t) => Array<Tensor>(times).fill(t)) : output
  return isList(output) ? output.map((t) => repeated(t, times, axis)) : repeated(output, times, axis)
}

const zerosLike = (output: Output): Output => {
  if (output === null) return null
  const like = ({ shape, dtype }: Tensor): Tensor => tensor(shape, dtype)
  return isList(output) ? output.map(like) : like(output)
}

const mapOutputs = (outputs: Outputs, map: (output: Output, name: string) => Output): Outputs =>
  Object.fromEntries(Object.entries(outputs).map(([name, output]) => [name, map(output, name)]))

/** Those that the pipeline names first; the negative side's after them, where it names none. */
function inOrder(data: PipelineData, outputs: Outputs): Outputs {
  const { returns } = data
  const twoCalls = !returns.some((name) => name.startsWith('negative_'))
  const names = [...returns, ...(twoCalls ? returns.map((name) => `negative_${name}`) : [])]
  const parts = Object.keys(outputs).filter((name) => name.includes('.'))
  return Object.fromEntries(
    [...names, ...parts].flatMap((name) => (name in outputs ? [[name, outputs[name]!]] : [])),
  )
}
