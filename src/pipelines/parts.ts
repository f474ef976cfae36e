import { show } from '../io/show.js'
import { InputError } from '../errors.js'
import type { Call, SlotData, State } from './types.js'

// Parts that the data of several pipelines share.

/** Which state of an encoder, by its number of blocks. */
type Tap = (blocks: number) => State

/** The stream after k blocks, not normed: transformers' hidden_states[k]. */
export const after =
  (k: number): Tap =>
  () => ({ after: k, norm: false })

/** The same counted from the end: 1 is the input of the last block, hidden_states[-2]. */
export const beforeEnd =
  (k: number): Tap =>
  (blocks) => ({ after: blocks - k, norm: false })

/** After the last block and the final norm. */
export const normed: Tap = (blocks) => ({ after: blocks, norm: true })

export const states =
  (...taps: Tap[]): SlotData['states'] =>
  (_, blocks) =>
    taps.map((tap) => tap(blocks))

/** hidden_states[k]: the last one is normed, but for CLIP's. */
export const hidden =
  (k: number): Tap =>
  (blocks): State => ({ after: k, norm: k === blocks })

const whole = ({ args }: Pick<Call, 'args'>, name: string): number | undefined => {
  const value = args[name]
  if (value === undefined || value === null) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value
  const expected = 'a whole number from 1 up'
  throw new InputError({ field: name, found: show(value), expected })
}

/** `max_sequence_length`, and what the pipeline adds to it. */
export const longest =
  (standard: number, more = 0, name = 'max_sequence_length') =>
  (call: Pick<Call, 'args'>): number =>
    (whole(call, name) ?? standard) + more

/** CLIP's 77 ids, the pads attended to. */
export const clip = {
  encoder: 'clip',
  length: () => 77,
  padTo: 'length',
  padSide: 'right',
  mask: false,
} as const satisfies Partial<SlotData>

/** Blocks that clip_skip leaves out; the negative side ignores it. */
export const skipped = (call: Pick<Call, 'args' | 'negative'>): number => {
  const { clip_skip: skip } = call.args
  if (call.negative || skip === undefined || skip === null) return 0
  if (typeof skip === 'number' && Number.isSafeInteger(skip) && skip >= 0) return skip
  throw new InputError({
    field: 'clip_skip',
    found: show(skip),
    expected: 'a whole number from 0 up',
  })
}

/** A user's turn in ChatML. */
export const user = (prompt: string, end = '<|im_start|>assistant\n'): string =>
  `<|im_start|>user\n${prompt}<|im_end|>\n${end}`
export const system = (text: string): string => `<|im_start|>system\n${text}<|im_end|>\n`
export const DESCRIBE_IMAGE =
  'Describe the image by detailing the color, shape, size, texture, quantity, text, spatial relationships of the objects and background:'
export const NO_THINKING = '<|im_start|>assistant\n<think>\n\n</think>\n\n'
