import { InputError } from '../../errors.js'
import { beforeEnd, clip, longest, normed, skipped, states } from '../parts.js'
import { appendTokens, beside, zeros } from '../tensors.js'
import type { PipelineData, SlotData, Call } from '../types.js'

const clipSlot = (n: string, padId?: number): SlotData => ({
  ...clip,
  ...(padId === undefined ? {} : { padId }),
  tokenizer: `tokenizer${n}`,
  prompt: n === '' ? ['prompt'] : [`prompt${n}`, 'prompt'],
  states: (call, blocks) => [beforeEnd(skipped(call) + 1)(blocks)],
  pooled: 'projected',
})

export const sd3: PipelineData = {
  classes: ['StableDiffusion3Pipeline', 'StableDiffusion3Img2ImgPipeline', 'StableDiffusion3InpaintPipeline'],
  source: 'stable_diffusion_3/pipeline_stable_diffusion_3.py',
  slots: {
    text_encoder: clipSlot(''),
    text_encoder_2: clipSlot('_2'),
    text_encoder_3: {
      encoder: 't5',
      tokenizer: 'tokenizer_3',
      prompt: ['prompt_3', 'prompt'],
      length: longest(256),
      padTo: 'length',
      mask: false,
      states: states(normed),
      optional: true,
    },
  },
  negative: { when: 'always' },
  returns: [
    'prompt_embeds',
    'negative_prompt_embeds',
    'pooled_prompt_embeds',
    'negative_pooled_prompt_embeds',
  ],
  outputs({ text_encoder: l, text_encoder_2: g, text_encoder_3: t5 }, call) {
    if (l === undefined || g === undefined) return t5 ? { 'text_encoder_3.prompt_embeds': t5.states[0]! } : {}
    const clips = beside(l.states[0]!, g.states[0]!)
    const [rows = 0, tokens = 0, narrow = 0] = clips.shape
    // without T5 its part is zeros, as wide as the denoiser reads
    const text = t5?.states[0] ?? zeros(rows, longest(256)(call), widthOfDenoiser(call))
    const wide = beside(clips, zeros(rows, tokens, text.shape[2]! - narrow))
    return { prompt_embeds: appendTokens(wide, text), pooled_prompt_embeds: beside(l.pooled!, g.pooled!) }
  },
}

function widthOfDenoiser({ denoiser }: Call): number {
  const { joint_attention_dim: width } = denoiser
  if (typeof width === 'number') return width
  throw new InputError({
    field: 'joint_attention_dim',
    found: 'no transformer/config.json that says it',
    expected: 'the width of zeros in place of text_encoder_3',
    hint: 'Give it as joint_attention_dim: 4096 in Stable Diffusion 3',
  })
}
