import { after, longest, states, user } from '../parts.js'
import { beside } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const flux3: PipelineData = {
  classes: ['Flux3ModularPipeline'],
  source: 'modular_pipelines/flux3/encoders.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt) => user(prompt),
      length: longest(8192),
      padTo: 80,
      padSide: 'right',
      mask: true,
      // the denoiser attends to the pads, whose position is 1
      positions: (mask) => mask.map((bit, i) => (bit === 1 ? i : 1)),
      states: states(...[4, 8, 12, 16, 20, 24, 28, 32].map(after)),
    },
  },
  negative: { when: 'always' },
  returns: ['prompt_embeds', 'negative_prompt_embeds'],
  outputs: ({ text_encoder: e }) => ({ prompt_embeds: beside(...e!.states) }),
}
