import { show } from '../io/show.js'
import { InputError } from '../errors.js'

/**
 * How an image or video pipeline calls its T5. Pipelines differ in mask, length and text, and a wrong one ruins images in silence,
 * so they are data, each taken from the file named beside it in diffusers' folder of pipelines (August 2026).
 */
export interface Pipeline {
  /** Prompts are cut to this many tokens, eos counted in. */
  readonly maxTokens: number
  /** Rows of the result: `maxTokens`, or as many as the longest prompt of the batch has tokens. */
  readonly paddedTo: 'max' | 'longest'
  /**
   * T5 is called without a mask: pads are tokens like any other, computed and attended to. Where false, no token sees
   * a pad, and pad rows of the result are zero (diffusers computes them there, and then masks or zeroes them).
   */
  readonly attendToPads: boolean
  /** Pads after a prompt that are computed, because the denoiser attends to them although T5's tokens do not. */
  readonly padsKept: number
  /** The pipeline hands on a mask: 1 for tokens and kept pads. Where false, the mask of the result is all ones. */
  readonly maskReturned: boolean
  /** The pipeline lower-cases prompts and strips the space around them. */
  readonly lowercase: boolean
  /**
   * Id of </s> in the tokenizer of the pipeline's T5: 1, and 2 for Pile-T5. Another one's ids may lie in the vocabulary and mean
   * nothing, so it is refused. Undefined where there is no pipeline: any will do.
   */
  readonly eosId: number | undefined
}

const MASKED: Omit<Pipeline, 'maxTokens'> = {
  paddedTo: 'max',
  attendToPads: false,
  padsKept: 0,
  maskReturned: true,
  lowercase: false,
  eosId: 1,
}
const UNMASKED: Omit<Pipeline, 'maxTokens'> = { ...MASKED, attendToPads: true, maskReturned: false }

const presets = {
  /** No pipeline: every token, masked, as long as the batch's longest. */
  none: { ...MASKED, maxTokens: 512, paddedTo: 'longest', eosId: undefined },
  /** flux/pipeline_flux.py, _get_t5_prompt_embeds */
  flux: { ...UNMASKED, maxTokens: 512 },
  /** stable_diffusion_3/pipeline_stable_diffusion_3.py, _get_t5_prompt_embeds */
  sd3: { ...UNMASKED, maxTokens: 256 },
  /** pixart_alpha/pipeline_pixart_sigma.py, encode_prompt and _text_preprocessing */
  'pixart-sigma': { ...MASKED, maxTokens: 300, lowercase: true },
  /** cogvideo/pipeline_cogvideox.py, _get_t5_prompt_embeds */
  cogvideox: { ...UNMASKED, maxTokens: 226 },
  /** ltx/pipeline_ltx.py, _get_t5_prompt_embeds: T5 gets no mask, the denoiser does */
  ltx: { ...UNMASKED, maxTokens: 128, maskReturned: true },
  /** mochi/pipeline_mochi.py, _get_t5_prompt_embeds (with force_zeros_for_empty_prompt off, as is its default) */
  mochi: { ...MASKED, maxTokens: 256 },
  /**
   * wan/pipeline_wan.py, _get_t5_prompt_embeds: UMT5; trimmed, zero-padded, and the zeros are attended to. 512 is what
   * its __call__ asks for. It also repairs mojibake and HTML entities (ftfy, html.unescape), which is left to callers.
   */
  wan: { ...MASKED, maxTokens: 512, maskReturned: false },
  /**
   * aura_flow/pipeline_aura_flow.py, encode_prompt: Pile-T5, with Llama's tokenizer; pad rows multiplied by 0; returns a mask
   * its denoiser ignores
   */
  auraflow: { ...MASKED, maxTokens: 256, eosId: 2 },
  /** chroma/pipeline_chroma.py, _get_t5_prompt_embeds: the denoiser's mask keeps the first pad */
  chroma: { ...MASKED, maxTokens: 512, padsKept: 1 },
} as const satisfies Record<string, Pipeline>

export type PipelineName = keyof typeof presets
export const pipelines: Readonly<Record<PipelineName, Pipeline>> = Object.freeze(presets)
Object.values(pipelines).forEach(Object.freeze)

/** @throws InputError that lists the names, for any other */
export function resolvePipeline(name: string): Pipeline {
  if (Object.hasOwn(pipelines, name)) return pipelines[name as PipelineName]
  throw new InputError({
    field: 'pipeline',
    found: show(name),
    expected: Object.keys(pipelines).join(', '),
  })
}

/** A prompt as the pipeline gives it to its tokenizer. */
export const preparePrompt = (pipeline: Pipeline, prompt: string): string =>
  pipeline.lowercase ? prompt.toLowerCase().trim() : prompt
