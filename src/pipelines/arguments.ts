import { show } from '../io/show.js'
import { InputError } from '../errors.js'
import type { Arguments } from './types.js'

/** Arguments of diffusers' pipelines that touch texts, by their names there. Per-encoder prompts have numbers. */
const NAMES =
  /^(?:negative_)?prompt(?:_[234])?$|^num_(?:images_per_prompt|videos_per_prompt|per_prompt)$|^(?:max_sequence_length|tokenizer_max_length|clip_skip|do_classifier_free_guidance|guidance_scale|clean_caption|complex_human_instruction|system_prompt|grid_h|grid_w|joint_attention_dim)$/

/** @throws InputError for an argument that no pipeline takes */
export function checkArguments(args: Arguments): void {
  for (const name of Object.keys(args)) {
    if (NAMES.test(name)) continue
    throw new InputError({
      field: name,
      found: 'an unknown argument',
      expected: "one of diffusers' that touch texts, such as prompt, negative_prompt, max_sequence_length",
    })
  }
}

/** How many images or videos of each prompt. @throws InputError */
export function imagesPerPrompt(args: Arguments): number {
  const names = ['num_images_per_prompt', 'num_videos_per_prompt', 'num_per_prompt']
  const name = names.find((each) => args[each] !== undefined && args[each] !== null)
  if (name === undefined) return 1
  const value = args[name]
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1 && value <= 1024) return value
  throw new InputError({
    field: name,
    found: show(value),
    expected: 'a whole number from 1 to 1024',
  })
}
