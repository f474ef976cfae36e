import type { NativeMapLayer } from '../../native/addon.js'

/**
 * A linear projection that widens, W [rows, n] with rows > n, as the triangle R [n, n] with R'R = W'W: |R d|^2 = |W d|^2 for every d,
 * so squared errors and norms are the same at n / rows of the work. By Cholesky in double; a direction that W maps to less than
 * rounding gets a row of zeros. Other projections (two layers, narrow ones, such with a bias, which norms feel) stay as they are.
 */
export function reduceProjection(layers: readonly NativeMapLayer[]): readonly NativeMapLayer[] {
  const [first, second] = layers
  if (first === undefined || second !== undefined || first.bias !== undefined) return layers
  const { weight, rows, columns: n } = first
  if (rows < 2 * n) return layers
  return [{ weight: Float32Array.from(cholesky(gram(weight, rows, n), n)), rows: n, columns: n }]
}

/** W'W [n, n], its upper triangle. */
function gram(weight: Float32Array, rows: number, n: number): Float64Array {
  const products = new Float64Array(n * n)
  for (let r = 0; r < rows; r++) {
    const row = weight.subarray(r * n, (r + 1) * n)
    for (let i = 0; i < n; i++) {
      const x = row[i]!
      for (let j = i; j < n; j++) products[i * n + j]! += x * row[j]!
    }
  }
  return products
}

/** Upper triangular R with R'R = A, A symmetric, positive semidefinite and given by its upper triangle. */
function cholesky(a: Float64Array, n: number): Float64Array {
  const r = new Float64Array(n * n)
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < i; k++) {
      const factor = r[k * n + i]!
      for (let j = i; j < n; j++) a[i * n + j]! -= factor * r[k * n + j]!
    }
    const pivot = a[i * n + i]!
    let scale = 0
    for (let k = 0; k <= i; k++) scale += r[k * n + i]! ** 2
    if (!(pivot > 1e-13 * (scale + Math.abs(pivot)))) continue
    const root = Math.sqrt(pivot)
    for (let j = i; j < n; j++) r[i * n + j] = a[i * n + j]! / root
  }
  return r
}
