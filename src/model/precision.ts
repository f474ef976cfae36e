/**
 * Weight formats in memory, in the engine's order (engine/precision.h). int8: a scale per output channel, in a rotated basis
 * without outliers; int4: as int8, with a multiplier and a zero per 32 inputs as well. Sums and the residual stream are float32
 * in all of them.
 */
export const PRECISIONS = ['f32', 'bf16', 'int8', 'int4'] as const
export type Precision = (typeof PRECISIONS)[number]
