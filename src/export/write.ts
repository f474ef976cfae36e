import type { FileHandle } from 'node:fs/promises'
import { OutputError } from '../errors.js'
import { writeFileAtomically } from '../io/atomic.js'
import { itemBytes, type DType } from '../checkpoint/element-types.js'
import { CHUNK_BYTES } from '../io/files.js'

/** A tensor to be written: all its bytes at once, or a stream of them that is started when its turn comes. */
export interface TensorSource {
  readonly name: string
  readonly dtype: DType
  readonly shape: readonly number[]
  readonly data: Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

export interface WriteOptions {
  /** `__metadata__` of the file. */
  readonly metadata?: Readonly<Record<string, string>> | undefined
  /**
   * Aligns tensors for memory maps: those whose size is a multiple of this many bytes come first, in the order given, and each
   * begins at a multiple of it in the file. Default: upstream's order.
   */
  readonly align?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Bytes of data written so far. It does not throw. */
  readonly onProgress?: ((bytes: number) => void) | undefined
}

export const tensorBytes = (tensor: { dtype: DType; shape: readonly number[] }): number =>
  tensor.shape.reduce((product, n) => product * n, itemBytes(tensor.dtype))

/**
 * Writes a safetensors file as upstream does: tensors by descending element size, then by name. The data section begins at a
 * multiple of eight bytes, so that typed arrays can be laid over a mapped file. The file appears whole or not at all.
 * Throws OutputError (path, reason); errors of a tensor's own stream and the reason of an abort pass through.
 */
export async function writeSafetensors(
  file: string,
  tensors: Iterable<TensorSource>,
  options: WriteOptions = {},
): Promise<void> {
  const fill = async (handle: FileHandle): Promise<void> => {
    for await (const chunk of safetensorsChunks(file, tensors, options)) await writeAll(handle, chunk)
  }
  await writeFileAtomically(file, fill, options.signal)
}

/** The bytes of that file; `file` names it in errors. */
export async function* safetensorsChunks(
  file: string,
  tensors: Iterable<TensorSource>,
  { metadata, align, signal, onProgress }: WriteOptions = {},
): AsyncGenerator<Uint8Array> {
  const whole = (tensor: TensorSource): boolean => align !== undefined && tensorBytes(tensor) % align === 0
  const list = [...tensors]
  const sorted = [...list.filter(whole), ...list.filter((tensor) => !whole(tensor)).sort(bySize)]
  yield headerBytes(file, sorted, metadata, align ?? 8)
  let written = 0
  for (const tensor of sorted) {
    const end = written + tensorBytes(tensor)
    const chunks = tensor.data instanceof Uint8Array ? slices(tensor.data) : tensor.data
    for await (const chunk of chunks) {
      signal?.throwIfAborted()
      yield chunk
      written += chunk.length
      onProgress?.(written)
      signal?.throwIfAborted() // before the next chunk, which may be some work, is made
    }
    if (written !== end) {
      throw new OutputError({
        file,
        field: tensor.name,
        found: `${tensorBytes(tensor) + written - end} bytes of data`,
        expected: `${tensorBytes(tensor)} for ${tensor.dtype} [${tensor.shape.join(', ')}]`,
      })
    }
  }
}

const bySize = (a: TensorSource, b: TensorSource): number =>
  itemBytes(b.dtype) - itemBytes(a.dtype) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)

function headerBytes(
  file: string,
  tensors: readonly TensorSource[],
  metadata: Readonly<Record<string, string>> | undefined,
  align: number,
): Uint8Array {
  const entries = new Map<string, unknown>()
  if (metadata !== undefined) entries.set('__metadata__', metadata)
  let begin = 0
  for (const tensor of tensors) {
    if (entries.has(tensor.name)) {
      throw new OutputError({ file, field: tensor.name, found: 'the name twice', expected: 'each name once' })
    }
    const end = begin + tensorBytes(tensor)
    const { name, dtype, shape } = tensor
    entries.set(name, { dtype, shape, data_offsets: [begin, end] })
    begin = end
  }
  // fromEntries defines properties, so a tensor named __proto__ is one like any other
  const json = JSON.stringify(Object.fromEntries(entries))
  const length = Math.ceil((8 + Buffer.byteLength(json)) / align) * align - 8
  const bytes = Buffer.alloc(8 + length, ' ')
  bytes.writeBigUInt64LE(BigInt(length))
  bytes.write(json, 8)
  return bytes
}

function* slices(data: Uint8Array): Generator<Uint8Array> {
  for (let i = 0; i < data.length; i += CHUNK_BYTES) yield data.subarray(i, i + CHUNK_BYTES)
}

async function writeAll(handle: FileHandle, bytes: Uint8Array): Promise<void> {
  let done = 0
  while (done < bytes.length) done += (await handle.write(bytes, done)).bytesWritten
}
