import { beforeEnd, longest, states } from '../parts.js'
import { maskOf } from '../tensors.js'
import type { PipelineData } from '../types.js'

const SYSTEM =
  'You are an assistant designed to generate superior images with the superior degree of image-text alignment based on textual prompts or user prompts.'

export const lumina2: PipelineData = {
  classes: ['Lumina2Pipeline', 'Lumina2Text2ImgPipeline'],
  source: 'lumina2/pipeline_lumina2.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt, { args, negative }) =>
        negative
          ? prompt
          : `${typeof args.system_prompt === 'string' ? args.system_prompt : SYSTEM} <Prompt Start> ${prompt}`,
      length: longest(256),
      padTo: 'length',
      padSide: 'right',
      mask: true,
      padsUnread: true,
      states: states(beforeEnd(1)),
    },
  },
  negative: { when: 'always' },
  returns: [
    'prompt_embeds',
    'prompt_attention_mask',
    'negative_prompt_embeds',
    'negative_prompt_attention_mask',
  ],
  outputs: ({ text_encoder: e }) => ({
    prompt_embeds: e!.states[0]!,
    prompt_attention_mask: maskOf(e!.rows, 'int64'),
  }),
}
