import { after, longest, normed, system, user } from '../parts.js'
import { beside, tensor } from '../tensors.js'
import type { PipelineData, Tensor } from '../types.js'

const SYSTEM = 'You are a helpful assistant who will provide prompts to an image generator.'
const NEGATIVE =
  'The video captures a series of frames showing ugly scenes, static with no motion, motion blur, over-saturation, shaky footage, low resolution, grainy texture, pixelated images, poorly lit areas, underexposed and overexposed scenes, poor color balance, washed out colors, choppy sequences, jerky movements, low frame rate, artifacting, color banding, unnatural transitions, outdated special effects, fake elements, unconvincing visuals, poorly edited content, jump cuts, visual noise, and flickering. Overall, the video is of poor quality.'
const EPSILON = 1e-8

export const cosmos25Predict: PipelineData = {
  classes: ['Cosmos2_5_PredictBasePipeline'],
  source: 'cosmos/pipeline_cosmos2_5_predict.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt) => system(SYSTEM) + user(prompt, ''),
      length: longest(512),
      padTo: 'length',
      padSide: 'right',
      mask: false,
      states: (_, blocks) =>
        Array.from({ length: blocks }, (_, i) => (i + 1 < blocks ? after(i + 1)(blocks) : normed(blocks))),
    },
  },
  negative: { when: 'always', text: NEGATIVE },
  returns: ['prompt_embeds', 'negative_prompt_embeds'],
  outputs: ({ text_encoder: e }) => ({ prompt_embeds: beside(...e!.states.map(standardised)) }),
}

/** Each token less its mean, over its standard deviation (of n - 1). */
function standardised({ shape, dtype, data }: Tensor): Tensor {
  const width = shape.at(-1)!
  const out = tensor(shape, dtype)
  for (let at = 0; at < data.length; at += width) {
    const token = data.subarray(at, at + width)
    let sum = 0
    for (const value of token) sum += value
    const mean = sum / width
    let squares = 0
    for (const value of token) squares += (value - mean) ** 2
    const deviation = Math.sqrt(squares / (width - 1)) + EPSILON
    for (const [i, value] of token.entries()) out.data[at + i] = (value - mean) / deviation
  }
  return out
}
