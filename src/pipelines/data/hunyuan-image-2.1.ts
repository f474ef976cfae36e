import { beforeEnd, DESCRIBE_IMAGE, normed, states, system, user } from '../parts.js'
import { maskOf, tokensOf } from '../tensors.js'
import { glyphOutputs, glyphText } from '../glyphs.js'
import type { PipelineData } from '../types.js'

/** Tokens of the system turn, which no denoiser sees. */
const DROPPED = 34
const GLYPHS = 128
/** In this order of kinds, duplicates kept; two apostrophes are quotes too. */
const QUOTES = [/'(.*?)'/g, /"(.*?)"/g, /‘(.*?)’/g, /“(.*?)”/g]

export const hunyuanImage21: PipelineData = {
  classes: ['HunyuanImagePipeline'],
  source: 'hunyuan_image/pipeline_hunyuanimage.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt) => (system(DESCRIBE_IMAGE) + user(prompt, '')).trimEnd(),
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
      text: (prompt) => glyphText(QUOTES.flatMap((quotes) => [...prompt.matchAll(quotes)].map((m) => m[1]!))),
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
        prompt_embeds_mask: maskOf(e.rows, 'int64', DROPPED),
      }),
      ...(glyphs && glyphOutputs(glyphs, GLYPHS, 'int64')),
    }
  },
}
