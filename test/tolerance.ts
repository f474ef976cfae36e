/**
 * The one tolerance policy. Errors are relative L2 against float64 references, per case.
 *
 * f32: 1e-5. Hugging Face's own float32 differs from float64 by up to 6e-6.
 * bf16: what Hugging Face's own bf16 run shows on the same weights, recorded per case in expected.json (1 to 2 %); ours keeps
 *   the residual stream and attention in float32 (and without AMX all activations), so it should stay below. Cases without
 *   a record are held to the smallest recorded.
 * bf16Weights: a bf16 encoder against the float64 run of the float32 weights: 3 %. Rounding the weights alone moves that run
 *   by up to 1.2 %, activations add what is under "bf16"; the largest seen on any device is 2.3 %.
 * int8: 8 times bf16's smallest. Of numbers whose largest is 3 to 4 times their deviation (rotated rows, rows of weights), int8
 *   keeps a step of that/127, which is a rounding error of 0.7 to 0.9 % (bf16: 0.17 %), on both sides of a product where the
 *   hardware multiplies integers. That the engine computes what the format says, to 1e-5, is test/engine's part.
 * int4: 8 times int8's: its step is that of 15 levels over 32 inputs, 8 to 10 % of their deviation. Toys with random weights show
 *   it in full; a result that is wrong is off by 1 and more.
 * row: one prompt's rows alone, in another order or in another batch: 1e-6.
 */
export const TOLERANCE = { f32: 1e-5, bf16: 0.0088, bf16Weights: 0.03, int8: 0.07, int4: 0.56, row: 1e-6 }

/** |a - b| / |b| */
export function relativeError(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) throw new Error(`${a.length} elements against ${b.length}`)
  let difference = 0
  let size = 0
  for (let i = 0; i < b.length; i++) {
    difference += (a[i]! - b[i]!) ** 2
    size += b[i]! ** 2
  }
  return Math.sqrt(difference / size)
}
