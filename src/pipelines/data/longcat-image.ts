import { normed, states, system } from '../parts.js'
import { planeIds, tokensOf } from '../tensors.js'
import { splitQuotes } from '../quotes.js'
import type { PipelineData } from '../types.js'

const SYSTEM =
  'As an image captioning expert, generate a descriptive text prompt based on an image content, suitable for input to a text-to-image model.'
/** Tokens around the prompt, which no denoiser sees. */
const PREFIX = 36
const SUFFIX = 5
const TOKENS = 512

export const longcatImage: PipelineData = {
  classes: ['LongCatImagePipeline'],
  source: 'longcat_image/pipeline_longcat_image.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      // what is quoted is tokenised character by character
      text: (prompt) =>
        splitQuotes(prompt).flatMap(({ text, quoted }) => (quoted ? Array.from(text) : [text])),
      bare: true,
      prefix: `${system(SYSTEM)}<|im_start|>user\n`,
      length: () => TOKENS,
      padTo: 'length',
      padSide: 'right',
      suffix: '<|im_end|>\n<|im_start|>assistant\n',
      mask: true,
      states: states(normed),
    },
  },
  negative: { when: 'given' },
  returns: ['prompt_embeds', 'text_ids'],
  batchAxis: { text_ids: 'none' },
  outputs({ text_encoder: e }) {
    const embeds = tokensOf(e!.states[0]!, PREFIX, e!.states[0]!.shape[1]! - SUFFIX)
    return { prompt_embeds: embeds, text_ids: planeIds(TOKENS) }
  },
}
