import { clip, longest, normed, states, system, user } from '../parts.js'
import { maskOf, tokensOf, unlessAllOnes } from '../tensors.js'
import type { PipelineData } from '../types.js'

const SYSTEM = [
  'You are a promt engineer. Describe the video in detail.',
  'Describe how the camera moves or shakes, describe the zoom and view angle, whether it follows the objects.',
  'Describe the location of the video, main characters or objects and their action.',
  'Describe the dynamism of the video and presented actions.',
  'Name the visual style of the video: whether it is a professional footage, user generated content, some kind of animation, video game or scren content.',
  'Describe the visual effects, postprocessing and transitions if they are presented in the video.',
  'Pay attention to the order of key actions shown in the scene.',
].join('\n')
const NEGATIVE =
  'Static, 2D cartoon, cartoon, 2d animation, paintings, images, worst quality, low quality, ugly, deformed, walking backwards'
/** Tokens of the system turn, which no denoiser sees. */
const DROPPED = 129

export const kandinsky6: PipelineData = {
  classes: ['Kandinsky6TI2VAPipeline'],
  source: 'kandinsky6/pipeline_kandinsky6_ti2va.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt) => (system(SYSTEM) + user(prompt, '')).trimEnd(),
      length: longest(1024, DROPPED),
      padTo: 'length',
      padSide: 'right',
      mask: true,
      padsUnread: true,
      states: states(normed),
    },
    text_encoder_2: {
      ...clip,
      mask: true,
      tokenizer: 'tokenizer_2',
      prompt: ['prompt'],
      states: states(),
      pooled: 'plain',
    },
  },
  negative: { when: 'always', text: NEGATIVE, emptyIsText: true },
  returns: [
    'prompt_embeds',
    'pooled_prompt_embeds',
    'prompt_attention_mask',
    'negative_prompt_embeds',
    'negative_pooled_prompt_embeds',
    'negative_prompt_attention_mask',
  ],
  outputs({ text_encoder: e, text_encoder_2: pooled }) {
    return {
      ...(e && { prompt_embeds: tokensOf(e.states[0]!, DROPPED) }),
      ...(pooled && { pooled_prompt_embeds: pooled.pooled! }),
      ...(e && { prompt_attention_mask: unlessAllOnes(maskOf(e.rows, 'bool', DROPPED)) }),
    }
  },
}
