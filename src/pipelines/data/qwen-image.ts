import { DESCRIBE_IMAGE, longest, normed, states, system, user } from '../parts.js'
import { maskOfLengths, padded, realTokens, tokensOf, unlessAllOnes } from '../tensors.js'
import type { PipelineData } from '../types.js'

/** Tokens of the system turn, which no denoiser sees. */
const DROPPED = 34

export const qwenImage: PipelineData = {
  classes: ['QwenImagePipeline', 'QwenImageImg2ImgPipeline', 'QwenImageInpaintPipeline'],
  source: 'qwenimage/pipeline_qwenimage.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt) => system(DESCRIBE_IMAGE) + user(prompt),
      length: () => 1024 + DROPPED,
      padTo: 'longest',
      padSide: 'right',
      mask: true,
      padsUnread: true,
      states: states(normed),
    },
  },
  negative: { when: 'given' },
  returns: ['prompt_embeds', 'prompt_embeds_mask'],
  outputs({ text_encoder: e }, call) {
    const max = longest(512)(call)
    const lists = realTokens(e!.states[0]!, e!.rows, DROPPED)
    const embeds = padded(lists)
    const tokens = Math.min(max, embeds.shape[1]!)
    const mask = maskOfLengths(
      lists.map(({ shape }) => shape[0]!),
      'int64',
    )
    return {
      prompt_embeds: tokensOf(embeds, 0, tokens),
      prompt_embeds_mask: unlessAllOnes(tokensOf(mask, 0, tokens)),
    }
  },
}
