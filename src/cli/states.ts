import { InvalidArgumentError } from 'commander'
import type { Encoded } from '../encoder.js'
import type { TensorSource } from '../export/write.js'
import { LIMITS } from '../families/limits.js'
import type { Outputs, State } from '../model/outputs.js'

/** What --states and --pooled ask for. */
export interface StateOptions {
  states?: readonly State[]
  pooled?: true
}

export const STATES_HELP =
  'states to write as state.NAME: 9 is the stream after 9 blocks, last after all of them, normed that after the final norm, 9:normed'

/** Parses `9,18,last,normed,10:normed`. */
export function parseStates(text: string): State[] {
  return text.split(',').map((name) => {
    const [after = '', norm] = name === 'normed' ? ['last', 'normed'] : name.split(':', 2)
    const isNumber = /^\d{1,4}$/.test(after) && Number(after) <= LIMITS.blocks.max
    if ((after === 'last' || isNumber) && (norm === undefined || norm === 'normed')) {
      return { after: after === 'last' ? after : Number(after), norm: norm !== undefined }
    }
    throw new InvalidArgumentError(
      `found ${JSON.stringify(name)}, expected such as 9, last, normed or 9:normed`,
    )
  })
}

/** The option of load() that these command line options are; undefined where they ask for nothing. */
export const outputsFrom = ({ states, pooled }: StateOptions): Outputs | undefined =>
  states === undefined && pooled === undefined ? undefined : { states, pooled }

/** The tensors of a result: last_hidden_state, or else the states that were named, and the pooled rows. */
export function resultTensors({ states: asked }: StateOptions, result: Encoded): TensorSource[] {
  const { states, shape, pooled, attentionMask } = result
  const names = asked?.map(nameOf) ?? ['last_hidden_state']
  const tensors = states.map((data, t): TensorSource => ({
    name: names[t]!,
    dtype: 'F32',
    shape,
    data: bytes(data),
  }))
  if (pooled) tensors.push({ name: 'pooled', dtype: 'F32', shape: pooled.shape, data: bytes(pooled.data) })
  return [
    ...tensors,
    { name: 'attention_mask', dtype: 'I32', shape: shape.slice(0, 2), data: bytes(attentionMask) },
  ]
}

const nameOf = ({ after, norm }: State): string =>
  after === 'last'
    ? `state.${norm === true ? 'normed' : 'last'}`
    : `state.${after}${norm === true ? '.normed' : ''}`

const bytes = (array: Float32Array | Uint16Array | Int32Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
