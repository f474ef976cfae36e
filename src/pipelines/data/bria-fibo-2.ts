import { hidden, longest, states, user } from '../parts.js'
import { beside, maskOf, stacked, tensor, unlessAllOnes } from '../tensors.js'
import type { PipelineData, Tensor } from '../types.js'

/** Three states a bundle, one bundle for each group of the denoiser's blocks. */
const BUNDLES = [
  [9, 20, 31],
  [5, 16, 27],
  [7, 18, 29],
  [9, 20, 31],
  [11, 22, 33],
  [13, 24, 35],
]
const EPSILON = 1e-6

export const briaFibo2: PipelineData = {
  classes: ['BriaFibo2Pipeline'],
  source: 'bria_fibo2/pipeline_bria_fibo2.py',
  slots: {
    text_encoder: {
      tokenizer: 'processor',
      prompt: ['prompt'],
      text: (prompt) => user(prompt),
      length: longest(4096),
      padTo: 'longest',
      mask: true,
      padsUnread: true,
      states: states(...BUNDLES.flat().map(hidden)),
    },
  },
  negative: { when: 'given' },
  returns: ['prompt_embeds', 'prompt_embeds_mask'],
  outputs({ text_encoder: e }) {
    const scaled = e!.states.map(byRms)
    const bundles = BUNDLES.map((_, i) => beside(...scaled.slice(i * 3, i * 3 + 3)))
    return { prompt_embeds: stacked(bundles, 1), prompt_embeds_mask: unlessAllOnes(maskOf(e!.rows, 'bool')) }
  },
}

/** Each token divided by its own root of the mean square. */
function byRms({ shape, dtype, data }: Tensor): Tensor {
  const width = shape.at(-1)!
  const out = tensor(shape, dtype)
  for (let at = 0; at < data.length; at += width) {
    let sum = 0
    for (let i = at; i < at + width; i++) sum += data[i]! ** 2
    const scale = 1 / Math.sqrt(sum / width + EPSILON)
    for (let i = at; i < at + width; i++) out.data[i] = data[i]! * scale
  }
  return out
}
