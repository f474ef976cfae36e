import { show } from '../../io/show.js'
import { InputError } from '../../errors.js'
import { longest, normed, states } from '../parts.js'
import { captionOf } from '../../prompts/cleaning.js'
import { appendTokens, maskOf, tokensOf } from '../tensors.js'
import type { PipelineData, Call, Tensor } from '../types.js'

const INSTRUCTION = [
  "Given a user prompt, generate an 'Enhanced prompt' that provides detailed visual descriptions suitable for image generation. Evaluate the level of detail in the user prompt:",
  '- If the prompt is simple, focus on adding specifics about colors, shapes, sizes, textures, and spatial relationships to create vivid and concrete scenes.',
  '- If the prompt is already detailed, refine and enhance the existing details slightly without overcomplicating.',
  'Here are examples of how to transform or refine prompts:',
  '- User Prompt: A cat sleeping -> Enhanced: A small, fluffy white cat curled up in a round shape, sleeping peacefully on a warm sunny windowsill, surrounded by pots of blooming red flowers.',
  '- User Prompt: A busy city street -> Enhanced: A bustling city street scene at dusk, featuring glowing street lamps, a diverse crowd of people in colorful clothing, and a double-decker bus passing by towering glass skyscrapers.',
  'Please generate only the enhanced description for the prompt below and avoid including any additional commentary or evaluations:',
  'User Prompt: ',
].join('\n')

/** None where the argument is null or empty, and on the negative side. */
function instructionOf({ args, negative }: Pick<Call, 'args' | 'negative'>): string {
  const { complex_human_instruction: given } = args
  if (negative || given === null || given === false) return ''
  if (given === undefined) return INSTRUCTION
  if (Array.isArray(given) && given.every((line) => typeof line === 'string')) return given.join('\n')
  throw new InputError({
    field: 'complex_human_instruction',
    found: show(given),
    expected: 'a list of texts, or null',
  })
}

export const sana: PipelineData = {
  classes: ['SanaPipeline', 'SanaSprintPipeline'],
  source: 'sana/pipeline_sana.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: async (prompt, call) => instructionOf(call) + (await captionOf(prompt, call)),
      async length(call) {
        const instruction = instructionOf(call)
        return instruction === ''
          ? longest(300)(call)
          : (await call.count(instruction)) + longest(300, -2)(call)
      },
      padTo: 'length',
      padSide: 'right',
      mask: true,
      padsUnread: true,
      states: states(normed),
    },
  },
  negative: { when: 'always' },
  returns: [
    'prompt_embeds',
    'prompt_attention_mask',
    'negative_prompt_embeds',
    'negative_prompt_attention_mask',
  ],
  outputs({ text_encoder: e }, call) {
    const embeds = e!.states[0]!
    const mask = maskOf(e!.rows, 'int64')
    const tokens = embeds.shape[1]!
    const kept = longest(300)(call)
    if (call.negative) return { prompt_embeds: embeds, prompt_attention_mask: mask }
    // the first token, and the last ones: the instruction's are left out
    const select = (t: Tensor): Tensor => appendTokens(tokensOf(t, 0, 1), tokensOf(t, tokens - kept + 1))
    return { prompt_embeds: select(embeds), prompt_attention_mask: select(mask) }
  },
}
