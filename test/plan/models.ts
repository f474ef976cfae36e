import { T5_XXL } from '../../src/families/shapes.js'
import type { Geometry } from '../../src/model/geometry.js'

/** T5-XXL, for which the paper's orders were published. */
export const t5xxl: Geometry = T5_XXL

export const tiny: Geometry = { ...t5xxl, blocks: 4, width: 16, heads: 2, headDim: 8, ff: 24, vocab: 32 }
