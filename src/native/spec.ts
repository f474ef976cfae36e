import { holds, type Checkpoint, type TensorRef } from '../checkpoint/types.js'
import type { Architecture } from '../model/architecture.js'
import type { Encoding } from '../model/encoding.js'
import { rotationOf } from '../model/rope.js'
import type { NativeArchitecture, NativeMapSpec, NativePlan, NativeSpec, NativeTensor } from './addon.js'
import type { PackedSubBlock } from '../checkpoint/packed.js'
import { compensationWidth, intact, type Compensation } from '../plan/compensation.js'
import type { Plan } from '../plan/plan.js'
import { PRECISIONS, type Precision } from '../model/precision.js'

export interface SpecOptions {
  /** See LoadOptions. */
  readonly mapped?: boolean | undefined
  /** Whether pooled rows are projected. Default: false. */
  readonly projected?: boolean | undefined
}

/** A checked checkpoint for the engine: files, and each tensor's place by role. */
export function nativeSpec(
  checkpoint: Checkpoint,
  { mapped = true, projected = false }: SpecOptions = {},
): NativeSpec {
  const { architecture, subBlocks, packed } = checkpoint
  const { projection, ...kept } = checkpoint.fixed
  const fixed = projected && projection ? { ...kept, projection } : kept
  const refs = [fixed, ...subBlocks, ...[...packed.values()].map(({ tensors }) => tensors)].flatMap(
    (byRole) => Object.values<{ file: string }>(byRole),
  )
  const files = [...new Set(refs.map(({ file }) => file))]
  const locate = (tensors: Readonly<Partial<Record<string, TensorRef>>>): Record<string, NativeTensor> =>
    Object.fromEntries(
      Object.entries(tensors).map(([role, ref]) => [role, nativeTensor(ref!, files.indexOf(ref!.file))]),
    )
  return {
    architecture: nativeArchitecture(architecture),
    files,
    mapped,
    fixed: locate(fixed),
    subBlocks: subBlocks.map((stored, s) =>
      holds(checkpoint, s) ? { ...locate(stored), ...locatePacked(packed.get(s), files) } : {},
    ),
  }
}

/** An architecture for the engine, which knows rotations by their frequencies alone. */
export const nativeArchitecture = (a: Architecture): NativeArchitecture => ({
  ...a,
  subBlocks: a.subBlocks.map((s) => {
    if (s.kind === 'feedForward') return s
    const { rope, ...attention } = s
    return rope ? { ...attention, rope: rotationOf(rope, s.headDim) } : attention
  }),
})

function locatePacked(
  packed: PackedSubBlock | undefined,
  files: readonly string[],
): Record<string, NativeTensor> {
  if (packed === undefined) return {}
  return Object.fromEntries(
    Object.values(packed.tensors).map(({ role, dtype, ...tensor }) => {
      const encoding = dtype === 'U8' ? packed.precision : dtype
      return [role, nativeTensor({ ...tensor, encoding }, files.indexOf(tensor.file))]
    }),
  )
}

type Located = Pick<TensorRef, 'file' | 'name' | 'offset' | 'shape' | 'scale' | 'plus'> & {
  encoding: Encoding
}

function nativeTensor(tensor: Located, file: number): NativeTensor {
  const [first = 1, second] = tensor.shape
  return {
    name: `${tensor.file}: ${tensor.name}`,
    file,
    offset: tensor.offset,
    encoding: tensor.encoding,
    rows: second === undefined ? 1 : first,
    columns: second ?? first,
    scale: tensor.scale ?? 1,
    plus: tensor.plus,
  }
}

/** A resolved plan (precision.ts) for the engine: slots[p] holds the weights that run at p, and is -1 where p is skipped. */
export function nativePlan(plan: Plan): NativePlan {
  return {
    slots: Int32Array.from(plan.table, (source) => (source === null ? -1 : slotOf(plan, source))),
    scales: Float32Array.from(plan.scales),
    map: plan.compensation && mapOf(plan.compensation),
  }
}

/** The slots a resolved plan needs loaded, each once. */
export const slotsOf = (plan: Plan): Int32Array =>
  Int32Array.from(plan.sources(), (source) => slotOf(plan, source))

const slotOf = (plan: Plan, source: number): number => slotIn(plan.precisions[source]!, source)

/** The slot of a sub-block's weights in a precision. */
export const slotIn = (precision: Precision, subBlock: number): number =>
  subBlock * PRECISIONS.length + PRECISIONS.indexOf(precision)

/** y + up' (down y): two layers whose result is added to their input. @throws PlanError where a buffer was transferred */
function mapOf(compensation: Compensation): NativeMapSpec {
  const { rank, down, up } = intact(compensation)
  const width = compensationWidth(compensation)
  const back = new Float32Array(up.length) // [width, rank]
  for (let j = 0; j < rank; j++) {
    for (let c = 0; c < width; c++) back[c * rank + j] = up[j * width + c]!
  }
  const layers = [
    { weight: down, rows: rank, columns: width },
    { weight: back, rows: width, columns: rank },
  ]
  return { layers, residual: true }
}
