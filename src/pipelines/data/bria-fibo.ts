import { hidden, longest } from '../parts.js'
import { beside, maskOf, padTokens, zeros } from '../tensors.js'
import type { PipelineData, Tensor } from '../types.js'

/** <|begin_of_text|>, which stands for an empty prompt. */
const BEGIN = 128_000

export const briaFibo: PipelineData = {
  classes: ['BriaFiboPipeline'],
  source: 'bria_fibo/pipeline_bria_fibo.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      length: longest(3000),
      padTo: 'longest',
      mask: true,
      rewrite(rows, { prompts }) {
        const alone = prompts.every((prompt) => prompt === '')
        for (const [i, row] of rows.entries()) {
          if (prompts[i] !== '') continue
          const tokens = alone ? 1 : row.ids.length
          row.ids = new Int32Array(tokens).fill(BEGIN)
          row.mask = new Int32Array(tokens).fill(1)
        }
      },
      states: (_, blocks) => Array.from({ length: blocks + 1 }, (_, k) => hidden(k)(blocks)),
    },
  },
  negative: { when: 'always' },
  returns: [
    'prompt_embeds',
    'negative_prompt_embeds',
    'text_ids',
    'prompt_attention_mask',
    'negative_prompt_attention_mask',
    'prompt_layers',
    'negative_prompt_layers',
  ],
  outputs({ text_encoder: e }) {
    const { states } = e!
    const embeds = beside(states.at(-1)!, states.at(-2)!)
    return {
      prompt_embeds: embeds,
      text_ids: zeros(embeds.shape[0]!, embeds.shape[1]!, 3),
      prompt_attention_mask: maskOf(e!.rows, 'float32'),
      prompt_layers: states,
    }
  },
  // both sides have the length of the longer one
  finish(positive, negative) {
    const tokens = [positive, negative].reduce(
      (n, side) => Math.max(n, (side.prompt_embeds as Tensor).shape[1]!),
      0,
    )
    for (const side of [positive, negative]) {
      for (const [name, output] of Object.entries(side)) {
        const pad = (t: Tensor): Tensor => padTokens(t, tokens)
        side[name] = Array.isArray(output) ? (output as readonly Tensor[]).map(pad) : pad(output as Tensor)
      }
    }
  },
}
