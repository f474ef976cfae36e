import { hidden, longest } from '../parts.js'
import { maskOf, woven } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const ltx2: PipelineData = {
  classes: ['LTX2Pipeline', 'LTX2ImageToVideoPipeline', 'LTX2ConditionPipeline'],
  source: 'ltx2/pipeline_ltx2.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt) => prompt.trim(),
      length: longest(1024),
      padTo: 'length',
      padSide: 'left',
      mask: true,
      padsUnread: true,
      states: (_, blocks) => Array.from({ length: blocks + 1 }, (_, k) => hidden(k)(blocks)),
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
    prompt_embeds: woven(e!.states),
    prompt_attention_mask: maskOf(e!.rows, 'int64'),
  }),
}
