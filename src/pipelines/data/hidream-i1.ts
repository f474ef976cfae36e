import { after, clip, longest, normed, states } from '../parts.js'
import { beside, stacked } from '../tensors.js'
import type { PipelineData, SlotData } from '../types.js'

const clipSlot = (n: string): SlotData => ({
  ...clip,
  tokenizer: `tokenizer${n}`,
  prompt: n === '' ? ['prompt'] : [`prompt${n}`, 'prompt'],
  // these CLIPs have 248 positions
  length: (call) => Math.min(longest(128)(call), 218),
  states: states(),
  pooled: 'projected',
})

export const hidreamI1: PipelineData = {
  classes: ['HiDreamImagePipeline'],
  source: 'hidream_image/pipeline_hidream_image.py',
  slots: {
    text_encoder: clipSlot(''),
    text_encoder_2: clipSlot('_2'),
    text_encoder_3: {
      encoder: 't5',
      tokenizer: 'tokenizer_3',
      prompt: ['prompt_3', 'prompt'],
      length: longest(128),
      padTo: 'length',
      mask: true,
      states: states(normed),
    },
    text_encoder_4: {
      tokenizer: 'tokenizer_4',
      prompt: ['prompt_4', 'prompt'],
      length: longest(128),
      padTo: 'length',
      padSide: 'right',
      padId: 'end',
      mask: true,
      states: (_, blocks) =>
        Array.from({ length: blocks }, (_, i) => (i + 1 < blocks ? after(i + 1)(blocks) : normed(blocks))),
    },
  },
  negative: { when: 'always' },
  returns: [
    'prompt_embeds_t5',
    'negative_prompt_embeds_t5',
    'prompt_embeds_llama3',
    'negative_prompt_embeds_llama3',
    'pooled_prompt_embeds',
    'negative_pooled_prompt_embeds',
  ],
  batchAxis: { prompt_embeds_llama3: 1 },
  outputs({ text_encoder: l, text_encoder_2: g, text_encoder_3: t5, text_encoder_4: llama }) {
    return {
      ...(t5 && { prompt_embeds_t5: t5.states[0]! }),
      ...(llama && { prompt_embeds_llama3: stacked(llama.states, 0) }),
      ...(l && g && { pooled_prompt_embeds: beside(l.pooled!, g.pooled!) }),
    }
  },
}
