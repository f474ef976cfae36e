import { after, longest, states } from '../parts.js'
import { beside, rowIds } from '../tensors.js'
import type { PipelineData } from '../types.js'

const SYSTEM =
  'You are an AI that reasons about image descriptions. You give structured responses focusing on object relationships, object\nattribution and actions without speculation.'

export const flux2Dev: PipelineData = {
  classes: ['Flux2Pipeline'],
  source: 'flux2/pipeline_flux2.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt) =>
        `<s>[SYSTEM_PROMPT]${SYSTEM}[/SYSTEM_PROMPT][INST]${prompt.replaceAll('[IMG]', '')}[/INST]`,
      bare: true,
      length: longest(512),
      padTo: 'length',
      mask: true,
      states: states(after(10), after(20), after(30)),
    },
  },
  negative: { when: 'never' },
  returns: ['prompt_embeds', 'text_ids'],
  outputs({ text_encoder: e }) {
    const embeds = beside(...e!.states)
    return { prompt_embeds: embeds, text_ids: rowIds(embeds.shape[0]!, embeds.shape[1]!) }
  },
}
