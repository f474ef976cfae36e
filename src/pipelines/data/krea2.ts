import { DESCRIBE_IMAGE, hidden, longest, states, system } from '../parts.js'
import { maskOf, stacked, tokensOf } from '../tensors.js'
import type { PipelineData } from '../types.js'

/** Tokens of the system turn, which no denoiser sees, and of the end after the pads. */
const DROPPED = 34
const SUFFIX = 5

export const krea2: PipelineData = {
  classes: ['Krea2Pipeline'],
  source: 'krea2/pipeline_krea2.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt) => `${system(DESCRIBE_IMAGE)}<|im_start|>user\n${prompt}`,
      length: longest(512, DROPPED - SUFFIX),
      padTo: 'length',
      padSide: 'right',
      suffix: '<|im_end|>\n<|im_start|>assistant\n',
      mask: true,
      padsUnread: true,
      // tokens alone are counted: the end is not moved by the pads before it
      positions(mask) {
        let seen = 0
        return mask.map((bit) => Math.max(0, (seen += bit) - 1))
      },
      states: states(...[2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 32, 35].map(hidden)),
    },
  },
  negative: { when: 'given' },
  returns: ['prompt_embeds', 'prompt_embeds_mask'],
  outputs: ({ text_encoder: e }) => ({
    prompt_embeds: tokensOf(stacked(e!.states, 2), DROPPED),
    prompt_embeds_mask: maskOf(e!.rows, 'bool', DROPPED),
  }),
}
