import { longest, normed, states } from '../parts.js'
import { idsOf, maskOf, masked } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const anima: PipelineData = {
  classes: ['AnimaModularPipeline'],
  source: 'modular_pipelines/anima/encoders.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      length: longest(512),
      padTo: 'longest',
      padSide: 'right',
      mask: true,
      padsUnread: true,
      // without any token one of id 0 is there, masked
      rewrite(rows) {
        if (rows.some(({ ids }) => ids.length > 0)) return
        for (const row of rows) [row.ids, row.mask] = [new Int32Array(1), new Int32Array(1)]
      },
      states: states(normed),
    },
    // its ids alone are handed on: no T5 runs
    t5_tokenizer: {
      tokenizer: 't5_tokenizer',
      prompt: ['prompt'],
      length: longest(512),
      padTo: 'longest',
      padSide: 'right',
      mask: true,
      idsOnly: true,
      states: states(),
    },
  },
  negative: { when: 'always' },
  returns: [
    'qwen_prompt_embeds',
    'qwen_attention_mask',
    't5_input_ids',
    't5_attention_mask',
    'negative_qwen_prompt_embeds',
    'negative_qwen_attention_mask',
    'negative_t5_input_ids',
    'negative_t5_attention_mask',
  ],
  outputs({ text_encoder: e, t5_tokenizer: t5 }) {
    const mask = e && maskOf(e.rows, 'int64')
    return {
      ...(e && mask && { qwen_prompt_embeds: masked(e.states[0]!, mask), qwen_attention_mask: mask }),
      ...(t5 && { t5_input_ids: idsOf(t5.rows, 'int64'), t5_attention_mask: maskOf(t5.rows, 'int64') }),
    }
  },
}
