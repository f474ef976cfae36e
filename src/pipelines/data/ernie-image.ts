import { beforeEnd, states } from '../parts.js'
import { realTokens } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const ernieImage: PipelineData = {
  classes: ['ErnieImagePipeline'],
  source: 'ernie_image/pipeline_ernie_image.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      // no limit but the tokenizer's
      length: ({ maxLength }) => maxLength,
      padTo: 'none',
      mask: false,
      states: states(beforeEnd(1)),
    },
  },
  negative: { when: 'given' },
  batchAxis: { prompt_embeds: 'list' },
  returns: ['prompt_embeds'],
  outputs: ({ text_encoder: e }) => ({ prompt_embeds: realTokens(e!.states[0]!, e!.rows) }),
}
