import { longest, NO_THINKING, normed, states, user } from '../parts.js'
import { masked, maskOf, planeIds, tokensOf } from '../tensors.js'
import type { PipelineData } from '../types.js'

const INSTRUCTION =
  'Describe the image by detailing the color, quantity, text, shape, size, texture, spatial relationships of the objects and background: '
/** The prefix is 29 tokens; diffusers drops one less. */
const DROPPED = 28

export const ovisImage: PipelineData = {
  classes: ['OvisImagePipeline'],
  source: 'ovis_image/pipeline_ovis_image.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt) => user(INSTRUCTION + prompt, NO_THINKING),
      length: longest(256, DROPPED),
      padTo: 'length',
      padSide: 'right',
      mask: true,
      padsUnread: true,
      states: states(normed),
    },
  },
  negative: { when: 'always' },
  returns: ['prompt_embeds', 'negative_prompt_embeds', 'text_ids', 'negative_text_ids'],
  batchAxis: { text_ids: 'none' },
  outputs({ text_encoder: e }) {
    const embeds = tokensOf(masked(e!.states[0]!, maskOf(e!.rows, 'int64')), DROPPED)
    return { prompt_embeds: embeds, text_ids: planeIds(embeds.shape[1]!) }
  },
}
