import { longest, normed, states } from '../parts.js'
import { promptClean } from '../../prompts/cleaning.js'
import { maskOf, masked } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const wan: PipelineData = {
  classes: ['WanPipeline', 'WanImageToVideoPipeline', 'WanVACEPipeline', 'WanVideoToVideoPipeline'],
  source: 'wan/pipeline_wan.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: promptClean,
      length: longest(512),
      padTo: 'length',
      mask: true,
      padsUnread: true,
      states: states(normed),
    },
  },
  negative: { when: 'always' },
  returns: ['prompt_embeds', 'negative_prompt_embeds'],
  outputs: ({ text_encoder: e }) => ({ prompt_embeds: masked(e!.states[0]!, maskOf(e!.rows, 'int64')) }),
}
