/** Bytes of one element, for every element type the safetensors format names. */
const ITEM_BYTES = {
  F64: 8,
  I64: 8,
  U64: 8,
  F32: 4,
  I32: 4,
  U32: 4,
  F16: 2,
  BF16: 2,
  I16: 2,
  U16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
} as const

export type DType = keyof typeof ITEM_BYTES

export const DTYPES = Object.keys(ITEM_BYTES) as readonly DType[]
export const itemBytes = (dtype: DType): number => ITEM_BYTES[dtype]
export const isDType = (name: string): name is DType => Object.hasOwn(ITEM_BYTES, name)
