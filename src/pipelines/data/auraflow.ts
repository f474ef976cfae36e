import { longest, normed, states } from '../parts.js'
import { maskOf, masked, tensor } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const auraflow: PipelineData = {
  classes: ['AuraFlowPipeline'],
  source: 'aura_flow/pipeline_aura_flow.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      length: longest(256),
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
  outputs({ text_encoder: e }) {
    const mask = maskOf(e!.rows, 'int64')
    const embeds = masked(e!.states[0]!, mask)
    const [prompts = 0, tokens = 0, width = 0] = embeds.shape
    // each entry as often as an embedding is wide: so diffusers hands it on, to a denoiser that does not read it
    const wide = tensor([prompts, tokens * width], 'int64')
    for (const [i, bit] of mask.data.entries()) wide.data.fill(bit, i * width, (i + 1) * width)
    return { prompt_embeds: embeds, prompt_attention_mask: wide }
  },
}
