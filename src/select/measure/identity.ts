import { createHash } from 'node:crypto'
import type { NativeMapLayer } from '../../native/addon.js'
import type { Chunk } from './calibration.js'

/** One word that tells a calibration set, null condition and projection included, from others. */
export function calibrationIdentity(
  chunks: readonly Chunk[],
  projection: readonly NativeMapLayer[] | undefined,
): string {
  const hash = createHash('sha256')
  const add = (array: ArrayBufferView | undefined): void => {
    hash.update(String(array?.byteLength ?? -1))
    if (array) hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
  }
  for (const { batch, isNull } of chunks) {
    hash.update(isNull ? 'null' : 'calibration')
    for (const array of [batch.starts, batch.indices, batch.ids, batch.embeds]) add(array)
    if (batch.positions) add(batch.positions)
  }
  for (const { weight, bias, rows, columns } of projection ?? []) {
    hash.update(JSON.stringify([rows, columns]))
    add(weight)
    add(bias)
  }
  const tokens = chunks.reduce((sum, chunk) => sum + chunk.tokens, 0)
  return `${tokens} tokens ${hash.digest('hex').slice(0, 16)}`
}
