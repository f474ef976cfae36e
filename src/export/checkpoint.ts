import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CheckpointError, PlanError } from '../errors.js'
import { isAttention, subBlockCount } from '../model/architecture.js'
import { fixedTensors, subBlockTensors, type TensorSpec } from '../families/tensors.js'
import { writeFolderAtomically } from '../io/atomic.js'
import { configFromArchitecture } from '../families/config.js'
import { constantChunks, foldedChunks, ordinaryDType, rawChunks } from './fold.js'
import { scaleNames } from '../families/names.js'
import { PLAN_FILE } from '../checkpoint/open.js'
import { copyTokenizer } from './tokenizer-files.js'
import type { Checkpoint, TensorRef, WeightDType } from '../checkpoint/types.js'
import { tensorBytes, writeSafetensors, type TensorSource, type WriteOptions } from './write.js'

export interface ExportOptions {
  /** An ordinary Hugging Face checkpoint with the plan worked into its weights, instead of one with a plan beside it. */
  readonly materialize?: boolean
  /** The text of skrr-plan.json; not written when materialised, since the plan is in the weights then. */
  readonly planJson: string
  /** What is written there instead when materialised: what of the plan no weights hold (Plan.remainder). */
  readonly remainderJson?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** Bytes of weights written so far, of how many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/**
 * Writes what a plan keeps of a checkpoint as a new Hugging Face folder `outDir`, which must not exist or be empty.
 * `table`: for each of the 2L positions the sub-block whose weights run there, or null; `scales`: a residual factor per
 * position, 1 where absent. Weights are streamed and keep their type.
 *
 * Materialised, position p holds a copy of its source's weights, its residual scale multiplied into the output matrix
 * (`o`, `wo`); where it is skipped, that matrix is zero, so that h + 0 is what any T5 computes. Fp8 becomes bf16, or
 * float32 where it carries a factor.
 *
 * Returns the bytes of weights written. Throws OutputError (folder not empty, cannot be written), PlanError (a source the
 * checkpoint does not hold), CheckpointError (a source that changed, a scale that overflows).
 */
export async function exportCheckpoint(
  checkpoint: Checkpoint,
  table: readonly (number | null)[],
  scales: readonly number[] | undefined,
  outDir: string,
  { materialize = false, planJson, remainderJson, signal, onProgress }: ExportOptions,
): Promise<number> {
  refusePacked(checkpoint)
  checkTable(checkpoint, table, scales)
  const tensors = materialize ? materialized(checkpoint, table, scales) : kept(checkpoint, table)
  return await writeModel(outDir, checkpoint, tensors, {
    dtype: mainDType(tensors),
    planJson: materialize ? remainderJson : planJson,
    // transformers refuses a file that does not say this
    metadata: { format: 'pt' },
    signal,
    onProgress,
  })
}

export interface ModelFolder extends Pick<WriteOptions, 'metadata' | 'align' | 'signal'> {
  /** What config.json calls torch_dtype. */
  readonly dtype: WeightDType
  readonly planJson: string | undefined
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** Writes a folder of weights, config, plan and tokenizer. Returns the bytes of weights. Throws OutputError. */
export async function writeModel(
  outDir: string,
  { architecture, tokenizerPath }: Checkpoint,
  tensors: readonly TensorSource[],
  { dtype, planJson, onProgress, ...options }: ModelFolder,
): Promise<number> {
  const total = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
  const fill = async (folder: string): Promise<void> => {
    await writeSafetensors(join(folder, 'model.safetensors'), tensors, {
      ...options,
      onProgress: (done) => onProgress?.(done, total),
    })
    const config = configFromArchitecture(architecture, dtype)
    await writeFile(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`, { flush: true })
    if (planJson !== undefined) await writeFile(join(folder, PLAN_FILE), planJson, { flush: true })
    if (tokenizerPath !== undefined) await copyTokenizer(dirname(tokenizerPath), folder)
  }
  await writeFolderAtomically(outDir, fill, options.signal)
  return total
}

/** @throws CheckpointError: packed weights are no longer numbers that could be written in another form */
export function refusePacked({ path, packed }: Checkpoint): void {
  const [first] = packed.values()
  if (first === undefined) return
  throw new CheckpointError({
    file: path,
    found: `weights packed in ${first.precision}`,
    expected: 'the checkpoint they were made from',
    hint: 'Export from the original',
  })
}

function checkTable(
  { architecture, tensors, path }: Checkpoint,
  table: readonly (number | null)[],
  scales: readonly number[] | undefined,
): void {
  const positions = subBlockCount(architecture)
  for (const [field, list] of Object.entries({ table, scales })) {
    if (list === undefined || list.length === positions) continue
    throw new PlanError({
      field,
      found: `${list.length} entries`,
      expected: `${positions}, two for each block`,
    })
  }
  table.forEach((source, p) => {
    if (source === null) return
    const field = `table[${p}]`
    if (
      !Number.isInteger(source) ||
      source < 0 ||
      source >= positions ||
      isAttention(source) !== isAttention(p)
    ) {
      const kind = isAttention(p) ? 'an attention' : 'a feed-forward'
      throw new PlanError({
        field,
        found: String(source),
        expected: `${kind} of the ${positions} sub-blocks`,
      })
    }
    if (!tensors.has(subBlockTensors(architecture, source)[0]!.name)) {
      throw new PlanError({
        field,
        found: `sub-block ${source}`,
        expected: `one of those that ${path} holds`,
      })
    }
  })
}

/** The fixed tensors and each sub-block that runs anywhere, byte for byte. */
function kept(checkpoint: Checkpoint, table: readonly (number | null)[]): Stored[] {
  const { architecture, tensors } = checkpoint
  const sources = new Set(table.filter((source) => source !== null))
  const specs: TensorSpec[] = [...fixedTensors(architecture)]
  for (const source of sources) specs.push(...subBlockTensors(architecture, source))
  return specs.flatMap(({ name, shape }) => {
    const ref = tensors.get(name)!
    const stored = { name, dtype: ref.dtype, shape, data: rawChunks(ref) }
    return ref.scale === undefined ? [stored] : [stored, scaleTensor(name, ref.scale)]
  })
}

const scaleTensor = (name: string, scale: number): Stored => ({
  name: scaleNames(name)[0]!,
  dtype: 'F32',
  shape: [],
  data: new Uint8Array(Float32Array.of(scale).buffer),
})

/** A weight on its way to a file. */
type Stored = TensorSource & { readonly dtype: WeightDType }

function materialized(
  checkpoint: Checkpoint,
  table: readonly (number | null)[],
  scales: readonly number[] | undefined,
): Stored[] {
  const { architecture, tensors } = checkpoint
  const fixed = fixedTensors(architecture).map((spec) => copied(spec, tensors.get(spec.name)!, 1))
  const inPlace = table.flatMap((source, p) => {
    const targets = subBlockTensors(architecture, p)
    if (source === null) return targets.map((spec) => skipped(spec, tensors.get(spec.name), checkpoint))
    // sources and targets are of one kind, so their tensors stand in the same order
    return subBlockTensors(architecture, source).map(({ name }, i) => {
      const spec = targets[i]!
      return copied(spec, tensors.get(name)!, isOutput(spec) ? (scales?.[p] ?? 1) : 1)
    })
  })
  return [...fixed, ...inPlace]
}

const isOutput = ({ role }: TensorSpec): boolean => role === 'o' || role === 'wo'

function copied({ name, shape }: TensorSpec, ref: TensorRef, factor: number): Stored {
  const dtype = ordinaryDType(ref)
  return { name, shape, dtype, data: foldedChunks(ref, factor, dtype) }
}

/** A skipped position keeps its own weights where they are there, so that only the zeroed matrix sets it apart. */
function skipped(spec: TensorSpec, ref: TensorRef | undefined, checkpoint: Checkpoint): Stored {
  if (ref !== undefined && !isOutput(spec)) return copied(spec, ref, 1)
  const { name, shape, role } = spec
  const dtype = ordinaryDType(ref ?? checkpoint.tensors.get('encoder.final_layer_norm.weight')!)
  const count = shape.reduce((product, n) => product * n, 1)
  return { name, shape, dtype, data: constantChunks(role === 'norm' ? 1 : 0, dtype, count) }
}

/** The type most of the bytes have: what a config.json calls torch_dtype. */
function mainDType(tensors: readonly Stored[]): WeightDType {
  const bytes = new Map<WeightDType, number>()
  for (const tensor of tensors) bytes.set(tensor.dtype, (bytes.get(tensor.dtype) ?? 0) + tensorBytes(tensor))
  return [...bytes].reduce((most, each) => (each[1] > most[1] ? each : most))[0]
}
