import { beforeEnd, longest, states, user } from '../parts.js'
import { realTokens } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const zImage: PipelineData = {
  classes: ['ZImagePipeline', 'ZImageImg2ImgPipeline'],
  source: 'z_image/pipeline_z_image.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt) => user(prompt),
      length: longest(512),
      padTo: 'length',
      padSide: 'right',
      mask: true,
      padsUnread: true,
      states: states(beforeEnd(1)),
    },
  },
  negative: { when: 'always' },
  batchAxis: { prompt_embeds: 'list' },
  returns: ['prompt_embeds', 'negative_prompt_embeds'],
  outputs: ({ text_encoder: e }) => ({ prompt_embeds: realTokens(e!.states[0]!, e!.rows) }),
}
