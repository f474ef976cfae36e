import { padTokens, tensor } from './tensors.js'
import type { Dtype, Output, SideOfSlot } from './types.js'

/** What ByT5 reads of a prompt: the texts to be drawn. Undefined where there is none, and it does not run. */
export const glyphText = (texts: readonly string[]): string | undefined =>
  texts.length === 0 ? undefined : `${texts.map((text) => `Text "${text}"`).join('. ')}. `

/** Its tensors: zeros for prompts without such texts. */
export function glyphOutputs(side: SideOfSlot, tokens: number, dtype: Dtype): Record<string, Output> {
  const mask = tensor([side.rows.length, tokens], dtype)
  for (const [i, row] of side.rows.entries()) mask.data.set(row.mask, i * tokens)
  return { prompt_embeds_2: padTokens(side.states[0]!, tokens), prompt_embeds_mask_2: mask }
}
