import { createHash, type Hash } from 'node:crypto'
import { readExactly, withFile } from '../checkpoint/files.js'
import type { Checkpoint } from '../checkpoint/types.js'
import type { NativeProjectionLayer } from '../native.js'
import { fingerprint } from '../plan/fingerprint.js'
import type { Chunk } from './calibration.js'

const SAMPLE_BYTES = 4096

/**
 * One word that tells a model from others: its shape, and a hash of every tensor's place and first 4 KiB. Two trainings of one
 * model differ in it, without 9.5 GB being read.
 */
export async function modelIdentity(checkpoint: Checkpoint): Promise<string> {
  const hash = createHash('sha256')
  const packed = [...checkpoint.packed.values()].flatMap(({ tensors }) => tensors)
  const tensors = [...checkpoint.tensors, ...packed.map((tensor) => [tensor.name, tensor] as const)]
  for (const [name, tensor] of tensors.sort(([a], [b]) => (a < b ? -1 : 1))) {
    const { file, offset, bytes, dtype, shape } = tensor
    hash.update(JSON.stringify([name, dtype, shape, 'scale' in tensor ? tensor.scale : 1]))
    const sample = new Uint8Array(Math.min(bytes, SAMPLE_BYTES))
    await withFile(file, (handle) => readExactly(handle, sample, offset, file))
    hash.update(sample)
  }
  return `${fingerprint(checkpoint.geometry)} ${short(hash)}`
}

/** One word that tells a calibration set, null condition and projection included, from others. */
export function calibrationIdentity(
  chunks: readonly Chunk[],
  projection: readonly NativeProjectionLayer[] | undefined,
): string {
  const hash = createHash('sha256')
  const add = (array: ArrayBufferView | undefined): void => {
    hash.update(String(array?.byteLength ?? -1))
    if (array) hash.update(new Uint8Array(array.buffer, array.byteOffset, array.byteLength))
  }
  for (const { batch, isNull } of chunks) {
    hash.update(isNull ? 'null' : 'calibration')
    for (const array of [batch.starts, batch.positions, batch.ids, batch.embeds]) add(array)
  }
  for (const { weight, bias, rows, columns } of projection ?? []) {
    hash.update(JSON.stringify([rows, columns]))
    add(weight)
    add(bias)
  }
  const tokens = chunks.reduce((sum, chunk) => sum + chunk.tokens, 0)
  return `${tokens} tokens ${short(hash)}`
}

const short = (hash: Hash): string => hash.digest('hex').slice(0, 16)
