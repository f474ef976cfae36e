import { longest, normed, states } from '../parts.js'
import { padTokens, zeros } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const bria: PipelineData = {
  classes: ['BriaPipeline'],
  source: 'bria/pipeline_bria.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      length: longest(128),
      padTo: 'none',
      mask: false,
      states: states(normed),
    },
  },
  negative: { when: 'zeros' },
  returns: ['prompt_embeds', 'negative_prompt_embeds', 'text_ids'],
  outputs({ text_encoder: e }, call) {
    const embeds = padTokens(e!.states[0]!, longest(128)(call))
    return { prompt_embeds: embeds, text_ids: zeros(embeds.shape[0]!, embeds.shape[1]!, 3) }
  },
}
