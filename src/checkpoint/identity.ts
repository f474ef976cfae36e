import { createHash } from 'node:crypto'
import { readExactly, withFile } from '../io/files.js'
import { fingerprint } from '../model/fingerprint.js'
import { storedTensors, type Checkpoint } from './types.js'

const SAMPLE_BYTES = 4096

/**
 * One word that tells models apart: the shape, and a hash of every tensor's name, type and first 4 KiB. It differs between two
 * trainings of one model, and 9.5 GB need not be read for it.
 */
export async function modelIdentity(checkpoint: Checkpoint): Promise<string> {
  const hash = createHash('sha256')
  const plain = storedTensors(checkpoint).map(({ name, ref }) => ({ ...ref, name, type: ref.encoding }))
  const packed = [...checkpoint.packed.values()]
    .flatMap(({ tensors }) => Object.values(tensors))
    .map((tensor) => ({ ...tensor, type: tensor.dtype, scale: 1 }))
  const tensors = [...plain, ...packed].sort((a, b) =>
    a.name === b.name ? a.offset - b.offset : a.name < b.name ? -1 : 1,
  )
  for (const { name, type, shape, scale, file, offset, bytes } of tensors) {
    hash.update(JSON.stringify([name, type, shape, scale ?? 1]))
    const sample = new Uint8Array(Math.min(bytes, SAMPLE_BYTES))
    await withFile(file, (handle) => readExactly(handle, sample, offset, file))
    hash.update(sample)
  }
  return `${fingerprint(checkpoint.architecture)} ${hash.digest('hex').slice(0, 16)}`
}
