import { CheckpointError } from '../errors.js'
import { CHUNK_BYTES, openRegular, readExactly } from '../io/files.js'
import { fromFloat32, toFloat32 } from '../model/half.js'
import type { TensorRef } from '../checkpoint/types.js'
import type { PlainEncoding } from '../model/encoding.js'

/** Streams of a tensor's bytes for the writer. Each chunk is to be used before the next is asked for. */

/** The bytes as they are in the file. */
export async function* rawChunks(ref: TensorRef): AsyncGenerator<Uint8Array> {
  const handle = await openRegular(ref.file)
  try {
    const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, ref.bytes))
    for (let at = 0; at < ref.bytes; at += CHUNK_BYTES) {
      const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, ref.bytes - at))
      await readExactly(handle, chunk, ref.offset + at, ref.file)
      yield chunk
    }
  } finally {
    await handle.close()
  }
}

/**
 * Every element times `factor` (and the tensor's own scale), multiplied in float32 and rounded to nearest in `dtype`: exact
 * for powers of two short of under- and overflow. An element that overflows is an error, never an infinity in a weight.
 */
export async function* foldedChunks(
  ref: TensorRef,
  factor: number,
  dtype: PlainEncoding,
): AsyncGenerator<Uint8Array> {
  const product = factor * (ref.scale ?? 1)
  const plus = (factor - 1) * (ref.plus ?? 0) // files hold w of 1 + w
  for await (const chunk of rawChunks(ref)) {
    if (product === 1 && plus === 0 && dtype === ref.encoding) {
      yield chunk
      continue
    }
    const values = toFloat32(ref.encoding, chunk)
    const finite = values.every(Number.isFinite)
    for (let i = 0; i < values.length; i++) values[i] = values[i]! * product
    if (plus !== 0) for (let i = 0; i < values.length; i++) values[i] = values[i]! + plus
    const out = fromFloat32(dtype, values)
    if (finite && Math.abs(product) > 1 && !toFloat32(dtype, out).every(Number.isFinite)) {
      throw new CheckpointError({
        file: ref.file,
        field: ref.name,
        message: `times ${product} does not fit in ${dtype}`,
      })
    }
    yield out
  }
}

/** `count` elements of one value. */
export function* constantChunks(value: number, dtype: PlainEncoding, count: number): Generator<Uint8Array> {
  const step = CHUNK_BYTES / 4
  const chunk = fromFloat32(dtype, new Float32Array(Math.min(step, count)).fill(value))
  const itemBytes = chunk.length / Math.min(step, count)
  for (let at = 0; at < count; at += step) yield chunk.subarray(0, Math.min(step, count - at) * itemBytes)
}

/** The type a tensor has in a file that any software reads: no fp8, no factor beside it. */
export function ordinaryDType({ encoding, scale }: Pick<TensorRef, 'encoding' | 'scale'>): PlainEncoding {
  // every fp8 value, also times a power of two, is a bf16 value; times any other factor it needs more digits
  if (scale !== undefined && !Number.isInteger(Math.log2(scale))) return 'F32'
  return encoding === 'F8_E4M3' ? 'BF16' : encoding
}
