import { CheckpointError, InputError } from '../errors.js'
import { INPUT_HEADER_BYTES, JsonBudget } from './budget.js'
import type { DType } from './element-types.js'
import { readExactly, withFile } from '../io/files.js'
import { bf16ToFloat, f16ToFloat } from '../model/half.js'
import { readHeader, soundTensor, type SoundTensor } from './safetensors.js'

/** Small tensors that are inputs of a call and are read whole: ids, masks, embeddings. Weights are never read here. */
export interface TensorArrays {
  F64: Float64Array
  F32: Float32Array
  /** Bit patterns. */
  F16: Uint16Array
  BF16: Uint16Array
  I64: BigInt64Array
  U64: BigUint64Array
  I32: Int32Array
  U32: Uint32Array
  I16: Int16Array
  U16: Uint16Array
  I8: Int8Array
  U8: Uint8Array
  /** 0 or 1. */
  BOOL: Uint8Array
  /** Bit patterns. */
  F8_E4M3: Uint8Array
  F8_E5M2: Uint8Array
}

/** One tensor in row-major order, its array typed by its element type. */
export type Tensor = {
  [D in DType]: { readonly dtype: D; readonly shape: readonly number[]; readonly data: TensorArrays[D] }
}[DType]

const ARRAYS: { [D in DType]: new (buffer: ArrayBuffer) => TensorArrays[D] } = {
  F64: Float64Array,
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  I64: BigInt64Array,
  U64: BigUint64Array,
  I32: Int32Array,
  U32: Uint32Array,
  I16: Int16Array,
  U16: Uint16Array,
  I8: Int8Array,
  U8: Uint8Array,
  BOOL: Uint8Array,
  F8_E4M3: Uint8Array,
  F8_E5M2: Uint8Array,
}

/**
 * Reads the tensors of a safetensors file, or only those in `names`, into memory. Throws InputError, since the file is an input
 * of a user's call.
 */
export async function readTensors(file: string, names?: readonly string[]): Promise<Map<string, Tensor>> {
  try {
    const { tensors } = await readHeader(file, JsonBudget.atMost(INPUT_HEADER_BYTES))
    return await withFile(file, async (handle) => {
      const found = new Map<string, Tensor>()
      for (const tensor of tensors.values()) {
        if (names?.includes(tensor.name) === false) continue
        const sound = soundTensor(tensor, file)
        const buffer = new ArrayBuffer(tensor.bytes)
        await readExactly(handle, new Uint8Array(buffer), tensor.offset, file)
        found.set(tensor.name, typed(sound, buffer))
      }
      return found
    })
  } catch (error) {
    if (error instanceof CheckpointError) throw new InputError(error.detail, { cause: error })
    throw error
  }
}

/** The numbers of a floating-point tensor as float32; undefined for integers and F8. F64 is rounded. */
export function floatsOf(tensor: Tensor): Float32Array | undefined {
  switch (tensor.dtype) {
    case 'F32':
      return tensor.data
    case 'F64':
      return Float32Array.from(tensor.data)
    case 'F16':
      return Float32Array.from(tensor.data, f16ToFloat)
    case 'BF16':
      return Float32Array.from(tensor.data, bf16ToFloat)
    default:
      return undefined
  }
}

function typed({ dtype, shape }: SoundTensor, buffer: ArrayBuffer): Tensor {
  // ARRAYS' type makes dtype and array agree, but the compiler cannot follow that through the union
  return { dtype, shape, data: new ARRAYS[dtype](buffer) } as Tensor
}
