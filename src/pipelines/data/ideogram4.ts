import { InputError } from '../../errors.js'
import { after, longest, states, user } from '../parts.js'
import { appendTokens, maskOf, masked, tensor, woven, zeros } from '../tensors.js'
import type { Arguments, PipelineData, Row, Tensor } from '../types.js'

/** What a token is, as the denoiser's indicator says it. */
const TEXT = 3
const IMAGE = 2
/** The segment of pads; all else is segment 1. */
const PAD = -1
/** Positions of patches begin here, apart from those of text. */
const IMAGE_POSITION = 65_536

export const ideogram4: PipelineData = {
  classes: ['Ideogram4Pipeline'],
  source: 'ideogram4/pipeline_ideogram4.py',
  slots: {
    text_encoder: {
      tokenizer: 'tokenizer',
      prompt: ['prompt'],
      text: (prompt) => user(prompt),
      bare: true,
      length: longest(2048),
      padTo: 'length',
      padSide: 'left',
      padId: 0,
      refusesLonger: true,
      mask: true,
      padsUnread: true,
      // from 0 at the first token
      positions(mask) {
        const first = mask.indexOf(1)
        return mask.map((bit, i) => (bit === 1 ? i - first : 0))
      },
      // outputs of the blocks 0, 3, ..., 33 and 35, none of them normed
      states: states(...[0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 35].map((block) => after(block + 1))),
    },
  },
  negative: { when: 'never' },
  returns: ['prompt_embeds', 'position_ids', 'segment_ids', 'indicator'],
  outputs({ text_encoder: e }, { args }) {
    const text = masked(woven(e!.states), maskOf(e!.rows, 'int64'))
    const image = whole(args, 'grid_h') * whole(args, 'grid_w')
    const [prompts = 0, tokens = 0, width = 0] = text.shape
    return {
      prompt_embeds: appendTokens(text, zeros(prompts, image, width)),
      ...packed(e!.rows, tokens, args),
    }
  },
}

/** The size of the image in patches, which encode_prompt takes. */
function whole(args: Arguments, name: string): number {
  const value = args[name]
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value
  throw new InputError({
    field: name,
    found: value === undefined ? 'none' : JSON.stringify(value),
    expected: "the image's patches down (grid_h) and across (grid_w)",
  })
}

/** Where pads, text and image lie. */
function packed(rows: readonly Row[], tokens: number, args: Arguments): Record<string, Tensor> {
  const [down, across] = [whole(args, 'grid_h'), whole(args, 'grid_w')]
  const length = tokens + down * across
  const positions = tensor([rows.length, length, 3], 'int64')
  const segments = tensor([rows.length, length], 'int64')
  const indicator = tensor([rows.length, length], 'int64')
  for (const [row, { mask }] of rows.entries()) {
    const first = mask.indexOf(1)
    for (let t = 0; t < length; t++) {
      const i = row * length + t
      const patch = t - tokens
      segments.data[i] = t < first ? PAD : 1
      if (patch >= 0) {
        indicator.data[i] = IMAGE
        positions.data.set(
          [0, Math.floor(patch / across), patch % across].map((p) => p + IMAGE_POSITION),
          i * 3,
        )
      } else if (t >= first) {
        indicator.data[i] = TEXT
        positions.data.fill(t - first, i * 3, i * 3 + 3)
      }
    }
  }
  return { position_ids: positions, segment_ids: segments, indicator }
}
