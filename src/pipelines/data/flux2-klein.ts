import { after, longest, NO_THINKING, states, user } from '../parts.js'
import { beside, rowIds } from '../tensors.js'
import type { PipelineData } from '../types.js'

export const flux2Klein: PipelineData = {
  classes: ['Flux2KleinPipeline'],
  source: 'flux2/pipeline_flux2_klein.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt) => user(prompt, NO_THINKING),
      length: longest(512),
      padTo: 'length',
      padSide: 'right',
      mask: true,
      states: states(after(9), after(18), after(27)),
    },
  },
  // a model that is not distilled runs with the empty prompt, whatever negative prompt is given
  negative: { when: 'always' },
  returns: ['prompt_embeds', 'text_ids'],
  outputs({ text_encoder: e }) {
    const embeds = beside(...e!.states)
    return { prompt_embeds: embeds, text_ids: rowIds(embeds.shape[0]!, embeds.shape[1]!) }
  },
}
