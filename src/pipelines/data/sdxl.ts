import { beforeEnd, clip, skipped } from '../parts.js'
import { beside } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const sdxl: PipelineData = {
  classes: [
    'StableDiffusionXLPipeline',
    'StableDiffusionXLImg2ImgPipeline',
    'StableDiffusionXLInpaintPipeline',
  ],
  source: 'stable_diffusion_xl/pipeline_stable_diffusion_xl.py',
  slots: {
    text_encoder: {
      ...clip,
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      states: (call, blocks) => [beforeEnd(skipped(call) + 1)(blocks)],
    },
    text_encoder_2: {
      ...clip,
      tokenizer: 'tokenizer_2',
      prompt: ['prompt_2', 'prompt'],
      states: (call, blocks) => [beforeEnd(skipped(call) + 1)(blocks)],
      pooled: 'projected',
    },
  },
  negative: { when: 'zeros', zerosIf: 'force_zeros_for_empty_prompt' },
  returns: [
    'prompt_embeds',
    'negative_prompt_embeds',
    'pooled_prompt_embeds',
    'negative_pooled_prompt_embeds',
  ],
  outputs({ text_encoder: l, text_encoder_2: g }) {
    return {
      ...(l && g && { prompt_embeds: beside(l.states[0]!, g.states[0]!) }),
      ...(g && { pooled_prompt_embeds: g.pooled! }),
    }
  },
}
