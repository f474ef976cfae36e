import { beforeEnd, states, system, user } from '../parts.js'
import { maskOfLengths, padded, realTokens, tensor, unlessAllOnes } from '../tensors.js'
import type { PipelineData } from '../types.js'

/** Tokens of the system turn, which no denoiser sees. */
const DROPPED = 14

export const qwenImage21: PipelineData = {
  classes: ['QwenImage21Pipeline'],
  source: 'qwenimage21/pipeline_qwenimage21.py',
  slots: {
    text_encoder: {
      tokenizer: 'processor',
      prompt: ['prompt'],
      text: (prompt) =>
        system('Comprehend and analyze the provided prompt.') + user(prompt === '' ? ' ' : prompt),
      length: ({ maxLength }) => maxLength,
      padTo: 'longest',
      padSide: 'left',
      mask: true,
      padsUnread: true,
      states: states(beforeEnd(0)),
    },
  },
  negative: { when: 'given' },
  returns: ['prompt_embeds', 'prompt_embeds_mask', 'image_pad_mask'],
  batchAxis: { image_pad_mask: 'none' },
  outputs({ text_encoder: e }) {
    const lists = realTokens(e!.states[0]!, e!.rows, DROPPED)
    const embeds = padded(lists)
    const mask = maskOfLengths(
      lists.map(({ shape }) => shape[0]!),
      'int64',
    )
    return {
      prompt_embeds: embeds,
      prompt_embeds_mask: unlessAllOnes(mask),
      image_pad_mask: tensor(embeds.shape.slice(0, 2), 'bool'),
    }
  },
}
