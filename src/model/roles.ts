/**
 * What a tensor is for inside its sub-block: one vocabulary, the same here and in the engine (engine/roles.h), in this order.
 * In a gated feed-forward `gate` is the half that is activated; one without a gate has only `up`, which is activated. Packed
 * checkpoints hold `in`, `out` and their scales in place of the matrices.
 */
export const ROLES = [
  'norm',
  'normBias',
  'postNorm',
  'q',
  'k',
  'v',
  'o',
  'qBias',
  'kBias',
  'vBias',
  'oBias',
  'qNorm',
  'kNorm',
  'distance',
  'gate',
  'up',
  'down',
  'gateBias',
  'upBias',
  'downBias',
  'in',
  'inScales',
  'out',
  'outScales',
] as const
export type Role = (typeof ROLES)[number]

/** Roles of the tensors outside the sub-blocks, which every plan keeps. */
export const FIXED_ROLES = ['embedding', 'positions', 'finalNorm', 'finalNormBias', 'projection'] as const
export type FixedRole = (typeof FIXED_ROLES)[number]

const MATRICES: readonly (Role | FixedRole)[] = [
  'embedding',
  'positions',
  'projection',
  'q',
  'k',
  'v',
  'o',
  'gate',
  'up',
  'down',
]

/** Whether a precision applies to the weight. Norms, biases and distance tables are few and stay exact. */
export const isMatrix = (role: Role | FixedRole): boolean => MATRICES.includes(role)

/** The matrix whose product is added to the residual stream. */
export const isOutput = (role: Role): boolean => role === 'o' || role === 'down'

/** Factors of a norm: weights that are 1 where nothing is known of them. */
export const isNorm = (role: Role | FixedRole): boolean =>
  ['norm', 'postNorm', 'qNorm', 'kNorm', 'finalNorm'].includes(role)
