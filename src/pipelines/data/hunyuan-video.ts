import { beforeEnd, clip, longest, states } from '../parts.js'
import { maskOf, tokensOf } from '../tensors.js'
import type { PipelineData } from '../types.js'

const BEFORE =
  '<|start_header_id|>system<|end_header_id|>\n\nDescribe the video by detailing the following aspects: 1. The main content and theme of the video.2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects.3. Actions, events, behaviors temporal relationships, physical movement changes of the objects.4. background environment, light, style and atmosphere.5. camera angles, movements, and transitions used in the video:<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n'
/** Tokens of the system turn, which no denoiser sees. */
const DROPPED = 95

export const hunyuanVideo: PipelineData = {
  classes: ['HunyuanVideoPipeline'],
  source: 'hunyuan_video/pipeline_hunyuan_video.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt) => `${BEFORE}${prompt}<|eot_id|>`,
      length: longest(256, DROPPED),
      padTo: 'length',
      padSide: 'right',
      mask: true,
      padsUnread: true,
      states: states(beforeEnd(2)),
    },
    // prompt_2 is taken and ignored
    text_encoder_2: {
      ...clip,
      tokenizer: 'tokenizer_2',
      prompt: ['prompt'],
      states: states(),
      pooled: 'plain',
    },
  },
  negative: { when: 'given' },
  returns: ['prompt_embeds', 'pooled_prompt_embeds', 'prompt_attention_mask'],
  outputs({ text_encoder: e, text_encoder_2: pooled }) {
    return {
      ...(e && {
        prompt_embeds: tokensOf(e.states[0]!, DROPPED),
        prompt_attention_mask: maskOf(e.rows, 'int64', DROPPED),
      }),
      ...(pooled && { pooled_prompt_embeds: pooled.pooled! }),
    }
  },
}
