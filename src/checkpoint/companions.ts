/** ComfyUI's scaled fp8 files carry a factor per matrix, under one of two names. */
export const scaleNames = (name: string): readonly string[] =>
  name.endsWith('.weight')
    ? [name.replace(/weight$/, 'scale_weight'), name.replace(/weight$/, 'weight_scale')]
    : []

/** Tensors beside a weight that are not bound: factors of a weight (looked up by name), of activations, a note on the format. */
export const isCompanion = (name: string): boolean =>
  /\.(scale_weight|weight_scale|scale_input|input_scale|comfy_quant)$/.test(name)
