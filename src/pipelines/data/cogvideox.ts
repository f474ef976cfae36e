import { longest, normed, states } from '../parts.js'
import type { PipelineData } from '../types.js'

export const cogvideox: PipelineData = {
  classes: ['CogVideoXPipeline', 'CogVideoXImageToVideoPipeline', 'CogVideoXVideoToVideoPipeline'],
  source: 'cogvideo/pipeline_cogvideox.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      length: longest(226),
      padTo: 'length',
      mask: false,
      states: states(normed),
    },
  },
  negative: { when: 'always' },
  returns: ['prompt_embeds', 'negative_prompt_embeds'],
  outputs: ({ text_encoder: e }) => ({
    prompt_embeds: e!.states[0]!,
  }),
}
