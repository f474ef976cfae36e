import { clip, longest, normed, states } from '../parts.js'
import { zeros } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const flux: PipelineData = {
  classes: [
    'FluxPipeline',
    'FluxFillPipeline',
    'FluxKontextPipeline',
    'FluxImg2ImgPipeline',
    'FluxControlPipeline',
  ],
  source: 'flux/pipeline_flux.py',
  slots: {
    text_encoder: { ...clip, tokenizer: 'tokenizer', prompt: ['prompt'], states: states(), pooled: 'plain' },
    text_encoder_2: {
      encoder: 't5',
      tokenizer: 'tokenizer_2',
      prompt: ['prompt_2', 'prompt'],
      length: longest(512),
      padTo: 'length',
      mask: false,
      states: states(normed),
    },
  },
  negative: { when: 'given' },
  returns: ['prompt_embeds', 'pooled_prompt_embeds', 'text_ids'],
  batchAxis: { text_ids: 'none' },
  outputs({ text_encoder: pooled, text_encoder_2: t5 }) {
    return {
      ...(t5 && { prompt_embeds: t5.states[0]!, text_ids: zeros(t5.states[0]!.shape[1]!, 3) }),
      ...(pooled && { pooled_prompt_embeds: pooled.pooled! }),
    }
  },
}
