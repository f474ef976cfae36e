/**
 * The one tolerance policy. Errors are relative L2 against float64 references, per case.
 *
 * f32: 1e-5. Hugging Face's own float32 differs from float64 by up to 6e-6.
 * bf16: what Hugging Face's own bf16 run shows on the same weights, recorded per case in expected.json (1 to 2 %); ours keeps
 *   the residual stream and attention in float32 (and without AMX all activations), so it should stay below. Cases without
 *   a record are held to the smallest recorded.
 *   CUDA rounds q and k too, for the tensor cores, as Hugging Face does. Where two logits of a row are nearly equal, the rounding
 *   decides between two keys: one row of the 154 of t5-tiny-v11's len77 is off by 22 %, half of the case's error. These rows are
 *   chance, also in Hugging Face, so on CUDA one row in a hundred is left out (the whole is held to bf16Weights).
 * bf16Weights: a bf16 encoder against the float64 run of the float32 weights: 3 %. Rounding the weights alone moves that run
 *   by up to 1.2 %, activations add what is under "bf16"; the largest seen on any device is 2.3 %.
 * int8: 8 times bf16's smallest. The max of a rotated row or a row of weights is 3 to 4 times its deviation, and int8's step is
 *   max/127: a rounding error of 0.7 to 0.9 % (bf16: 0.17 %), on both sides of a product where the hardware multiplies bytes
 *   (elsewhere activations have 11 bits). test/engine checks that the engine computes what the format says, to 1e-5.
 * int4: 8 times int8's: 15 levels over 32 inputs make a rounding error of 8 to 10 % of their deviation. Small models with random
 *   weights show all of it; a wrong result is off by 1 or more.
 * row: one prompt's rows alone, in another order or in another batch: 1e-6.
 */
export const TOLERANCE = { f32: 1e-5, bf16: 0.0088, bf16Weights: 0.03, int8: 0.07, int4: 0.56, row: 1e-6 }

/** How many rows in a hundred may be off by more, on a device that rounds q and k: see "bf16" above. */
export const EDGE_ROWS = 1

/**
 * |a - b| / |b| without the `EDGE_ROWS` in a hundred rows of `width` (one at least) that are farthest off; |b| counts all rows.
 */
export function relativeErrorButEdges(a: ArrayLike<number>, b: ArrayLike<number>, width: number): number {
  if (a.length !== b.length) throw new Error(`${a.length} elements against ${b.length}`)
  const rows = Array.from({ length: b.length / width }, (_, row) => {
    let difference = 0
    for (let i = row * width; i < (row + 1) * width; i++) difference += (a[i]! - b[i]!) ** 2
    return difference
  }).sort((x, y) => x - y)
  const kept = rows.slice(0, rows.length - Math.max(1, Math.floor((rows.length * EDGE_ROWS) / 100)))
  const size = Array.from(b).reduce((sum, value) => sum + value * value, 0)
  return Math.sqrt(kept.reduce((sum, difference) => sum + difference, 0) / size)
}

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
