import type { TensorSpec } from '../families/index.js'
import type { TensorSource } from './write.js'

/** Rows of a tensor that another shares with it, see TensorSpec. */
export interface Part {
  readonly part?: TensorSpec['part'] | undefined
}

/** Parts of a tensor, all of them one after the other, as one; all others as they are. */
export function joined<T extends TensorSource & Part>(tensors: readonly T[]): Omit<T, 'part'>[] {
  const groups: T[][] = []
  for (const tensor of tensors) {
    const last = groups.at(-1)
    if (tensor.part !== undefined && last?.[0]?.name === tensor.name) last.push(tensor)
    else groups.push([tensor])
  }
  return groups.map((parts) => {
    const { part, ...first } = parts[0]!
    return part === undefined
      ? first
      : { ...first, shape: [part.of, ...first.shape.slice(1)], data: concatenated(parts) }
  })
}

async function* concatenated(parts: readonly TensorSource[]): AsyncGenerator<Uint8Array> {
  for (const { data } of parts) {
    if (data instanceof Uint8Array) yield data
    else yield* data
  }
}
