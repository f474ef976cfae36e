import { longest, normed, states } from '../parts.js'
import { maskOf, zeros } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const chroma: PipelineData = {
  classes: ['ChromaPipeline', 'ChromaImg2ImgPipeline'],
  source: 'chroma/pipeline_chroma.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      length: longest(512),
      padTo: 'length',
      mask: true,
      states: states(normed),
    },
  },
  negative: { when: 'always' },
  returns: [
    'prompt_embeds',
    'text_ids',
    'prompt_attention_mask',
    'negative_prompt_embeds',
    'negative_text_ids',
    'negative_prompt_attention_mask',
  ],
  batchAxis: { text_ids: 'none' },
  outputs({ text_encoder: e }) {
    const mask = maskOf(e!.rows, 'float32')
    const [prompts = 0, tokens = 0] = mask.shape
    // the denoiser attends to one pad
    for (let row = 0; row < prompts; row++) {
      const pad = mask.data.subarray(row * tokens, (row + 1) * tokens).indexOf(0)
      if (pad >= 0) mask.data[row * tokens + pad] = 1
    }
    return { prompt_embeds: e!.states[0]!, text_ids: zeros(tokens, 3), prompt_attention_mask: mask }
  },
}
