import { clip, longest, normed, states, system, user } from '../parts.js'
import { promptClean } from '../../prompts/cleaning.js'
import { tensor, tokensOf } from '../tensors.js'
import type { PipelineData } from '../types.js'

const SYSTEM = [
  'You are a prompt engineer. Describe the video in detail.',
  'Describe how the camera moves or shakes, describe the zoom and view angle, whether it follows the objects.',
  'Describe the location of the video, main characters or objects and their action.',
  'Describe the dynamism of the video and presented actions.',
  'Name the visual style of the video: whether it is a professional footage, user generated content, some kind of animation, video game or scren content.',
  'Describe the visual effects, postprocessing and transitions if they are presented in the video.',
  'Pay attention to the order of key actions shown in the scene.',
].join('\n')
/** Tokens of the system turn, which no denoiser sees. */
const DROPPED = 128

export const kandinsky5Video: PipelineData = {
  classes: ['Kandinsky5T2VPipeline', 'Kandinsky5I2VPipeline'],
  source: 'kandinsky5/pipeline_kandinsky.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt) => (system(SYSTEM) + user(promptClean(prompt), '')).trimEnd(),
      length: longest(512, DROPPED),
      padTo: 'longest',
      padSide: 'right',
      mask: false,
      states: states(normed),
    },
    text_encoder_2: {
      ...clip,
      tokenizer: 'tokenizer_2',
      prompt: ['prompt'],
      text: promptClean,
      mask: true,
      states: states(),
      pooled: 'plain',
    },
  },
  negative: { when: 'given' },
  returns: ['prompt_embeds_qwen', 'prompt_embeds_clip', 'prompt_cu_seqlens'],
  batchAxis: { prompt_cu_seqlens: 'none' },
  outputs({ text_encoder: e, text_encoder_2: pooled }, { imagesPerPrompt }) {
    if (!e) return pooled ? { prompt_embeds_clip: pooled.pooled! } : {}
    const lengths = e.rows.flatMap(({ mask }) =>
      Array<number>(imagesPerPrompt).fill(mask.subarray(DROPPED).reduce((n, bit) => n + bit, 0)),
    )
    const ends = tensor([lengths.length + 1], 'int64')
    lengths.forEach((length, i) => (ends.data[i + 1] = ends.data[i]! + length))
    return {
      prompt_embeds_qwen: tokensOf(e.states[0]!, DROPPED),
      ...(pooled && { prompt_embeds_clip: pooled.pooled! }),
      prompt_cu_seqlens: ends,
    }
  },
}
