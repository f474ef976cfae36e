import { longest, normed, states } from '../parts.js'
import { maskOf } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const mochi: PipelineData = {
  classes: ['MochiPipeline'],
  source: 'mochi/pipeline_mochi.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      length: longest(256),
      padTo: 'length',
      mask: true,
      padsUnread: true,
      states: states(normed),
      // where the last prompt is empty, diffusers zeroes the whole batch
      rewrite(rows, { index, prompts }) {
        if (index.force_zeros_for_empty_prompt !== true || prompts.at(-1) !== '') return
        for (const row of rows) [row.ids, row.mask].forEach((line) => line.fill(0))
      },
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
