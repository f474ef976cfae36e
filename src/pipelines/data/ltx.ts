import { longest, normed, states } from '../parts.js'
import { maskOf } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const ltx: PipelineData = {
  classes: ['LTXPipeline', 'LTXImageToVideoPipeline', 'LTXConditionPipeline'],
  source: 'ltx/pipeline_ltx.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      length: longest(128),
      padTo: 'length',
      mask: false,
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
