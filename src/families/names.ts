/**
 * The names T5 encoders go by in files, brought to Hugging Face's (model/architecture.ts). An encoder may stand under a prefix
 * (`text_encoders.t5xxl.transformer.` in all-in-one files), beside a decoder, a head, other models; its embedding is
 * `shared.weight`, `encoder.embed_tokens.weight` or both, which are then one tensor.
 */
const BLOCK = /^(?:.*\.)?(?=encoder\.block\.\d+\.layer\.[01]\.)/
const FINAL_NORM = /^(?:.*\.)?(?=encoder\.final_layer_norm\.weight$)/

/** Every prefix under which an encoder stands. A plan may leave an encoder without blocks: then its final norm tells. */
export function encoderPrefixes(names: Iterable<string>): string[] {
  const list = [...names]
  const under = (pattern: RegExp): string[] => [
    ...new Set(list.flatMap((name) => pattern.exec(name)?.[0] ?? [])),
  ]
  const prefixes = under(BLOCK)
  return (prefixes.length > 0 ? prefixes : under(FINAL_NORM)).sort()
}

/** Canonical name -> name in the file, for what belongs to the encoder under `prefix`; everything else is left out. */
export function encoderNames(names: Iterable<string>, prefix: string): Map<string, string> {
  const canonical = new Map<string, string>()
  for (const name of names) {
    if (!name.startsWith(prefix)) continue
    const inside = name.slice(prefix.length)
    if (inside.startsWith('shared.')) canonical.set(inside, name)
    else if (inside.startsWith(EMBED_TOKENS)) {
      const shared = `shared.${inside.slice(EMBED_TOKENS.length)}`
      if (!canonical.has(shared)) canonical.set(shared, name)
    } else if (inside.startsWith('encoder.')) canonical.set(inside, name)
  }
  return canonical
}
const EMBED_TOKENS = 'encoder.embed_tokens.'

/** ComfyUI's scaled fp8 files carry a factor per matrix, under one of two names. */
export const scaleNames = (name: string): readonly string[] => [
  name.replace(/\.weight$/, '.scale_weight'),
  name.replace(/\.weight$/, '.weight_scale'),
]

/** Beside a weight and of no use here: factors of a weight (looked up by name), of activations, a note on the format. */
export const isCompanion = (name: string): boolean =>
  /\.(scale_weight|weight_scale|scale_input|input_scale|comfy_quant)$/.test(name)
