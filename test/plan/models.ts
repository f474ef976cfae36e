import { t5Architecture, T5_XXL, T5_XXL_SIZES } from '../../src/families/t5.js'
import type { Architecture } from '../../src/model/architecture.js'

/** T5-XXL, for which the paper's orders were published. */
export const t5xxl: Architecture = T5_XXL

export const tinySizes = { ...T5_XXL_SIZES, blocks: 4, width: 16, heads: 2, headDim: 8, ff: 24, vocab: 32 }
export const tiny = t5Architecture(tinySizes)
