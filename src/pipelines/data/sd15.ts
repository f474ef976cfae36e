import { clip, skipped } from '../parts.js'
import type { PipelineData } from '../types.js'

export const sd15: PipelineData = {
  classes: ['StableDiffusionPipeline', 'StableDiffusionImg2ImgPipeline', 'StableDiffusionInpaintPipeline'],
  source: 'stable_diffusion/pipeline_stable_diffusion.py',
  slots: {
    text_encoder: {
      ...clip,
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      // with clip_skip the final norm of an earlier state
      states: (call, blocks) => [{ after: blocks - skipped(call), norm: true }],
    },
  },
  negative: { when: 'always' },
  returns: ['prompt_embeds', 'negative_prompt_embeds'],
  outputs: ({ text_encoder: l }) => ({ prompt_embeds: l!.states[0]! }),
}
