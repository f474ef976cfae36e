import { longest, normed, states } from '../parts.js'
import { captionOf } from '../../prompts/cleaning.js'
import { maskOf } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const pixartSigma: PipelineData = {
  classes: ['PixArtSigmaPipeline'],
  source: 'pixart_alpha/pipeline_pixart_sigma.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: captionOf,
      length: longest(300),
      padTo: 'length',
      mask: true,
      padsUnread: true,
      states: states(normed),
    },
  },
  negative: { when: 'always' },
  returns: [
    'prompt_embeds',
    'prompt_attention_mask',
    'negative_prompt_embeds',
    'negative_prompt_attention_mask',
  ],
  outputs: ({ text_encoder: e }) => ({
    prompt_embeds: e!.states[0]!,
    prompt_attention_mask: maskOf(e!.rows, 'int64'),
  }),
}
