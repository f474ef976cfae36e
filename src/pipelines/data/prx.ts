import { longest, normed, states } from '../parts.js'
import { prxClean } from '../../prompts/cleaning.js'
import { maskOf } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const prx: PipelineData = {
  classes: ['PRXPipeline'],
  source: 'prx/pipeline_prx.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: prxClean,
      // what its tokenizer_config.json says, 256
      length: longest(256, 0, 'tokenizer_max_length'),
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
    prompt_attention_mask: maskOf(e!.rows, 'bool'),
  }),
}
