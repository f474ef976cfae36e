import { beforeEnd, normed, states, system, user } from '../parts.js'
import { maskOf, tokensOf } from '../tensors.js'
import { glyphOutputs, glyphText } from '../glyphs.js'
import type { PipelineData } from '../types.js'

// the blanks of the source's continued lines are part of it
const SYSTEM =
  'You are a helpful assistant. Describe the video by detailing the following aspects:         1. The main content and theme of the video.         2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects.         3. Actions, events, behaviors temporal relationships, physical movement changes of the objects.         4. background environment, light, style and atmosphere.         5. camera angles, movements, and transitions used in the video.'
/** Tokens of the system turn, which no denoiser sees. */
const DROPPED = 108
const GLYPHS = 256

export const hunyuanVideo15: PipelineData = {
  classes: ['HunyuanVideo15Pipeline'],
  source: 'hunyuan_video1_5/pipeline_hunyuan_video1_5.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt) => system(SYSTEM) + user(prompt === '' ? ' ' : prompt),
      length: () => 1000 + DROPPED,
      padTo: 'length',
      padSide: 'right',
      mask: true,
      padsUnread: true,
      states: states(beforeEnd(2)),
    },
    text_encoder_2: {
      tokenizer: 'tokenizer_2',
      prompt: ['prompt'],
      text: (prompt) =>
        glyphText([...new Set([...prompt.matchAll(/"(.*?)"|“(.*?)”/g)].map((m) => m[1] || (m[2] ?? '')))]),
      length: () => GLYPHS,
      padTo: 'length',
      padSide: 'right',
      mask: true,
      padsUnread: true,
      states: states(normed),
    },
  },
  negative: { when: 'given' },
  returns: ['prompt_embeds', 'prompt_embeds_mask', 'prompt_embeds_2', 'prompt_embeds_mask_2'],
  outputs({ text_encoder: e, text_encoder_2: glyphs }) {
    return {
      ...(e && {
        prompt_embeds: tokensOf(e.states[0]!, DROPPED),
        prompt_embeds_mask: maskOf(e.rows, 'float32', DROPPED),
      }),
      ...(glyphs && glyphOutputs(glyphs, GLYPHS, 'float32')),
    }
  },
}
