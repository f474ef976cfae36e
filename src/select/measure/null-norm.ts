/** Beyond this factor the null condition is warned of: the paper's Fig. 4 shows what it does to images. */
export const MAX_NULL_NORM = 1.5

/** Whether the null condition's features are that much longer or shorter than the dense encoder's. */
export const nullNormIsOff = (nullNorm: number): boolean =>
  !(nullNorm < MAX_NULL_NORM && nullNorm > 1 / MAX_NULL_NORM)
