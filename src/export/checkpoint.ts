import { writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CheckpointError } from '../errors.js'
import { checkPlanFits } from '../native/spec.js'
import type { Plan } from '../plan/plan.js'
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
  readonly materialize?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  /** Bytes of weights written so far, of how many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/**
 * Writes what a plan keeps of a checkpoint as a new Hugging Face folder, which must not exist or be empty, with the plan beside it.
 * Weights are streamed and keep their type.
 *
 * Materialised, position p holds a copy of its source's weights, its residual scale multiplied into the output matrix
 * (`o`, `wo`); where it is skipped, that matrix is zero, so that h + 0 is what any T5 computes. Fp8 becomes bf16, or
 * float32 where it carries a factor. Beside it lies only what of the plan no weights hold (Plan.remainder).
 *
 * Returns the bytes of weights written. Throws OutputError (folder not empty, cannot be written), PlanError (a plan of another
 * model, a source the checkpoint does not hold), CheckpointError (a source that changed, a scale that overflows).
 */
export async function exportCheckpoint(
  checkpoint: Checkpoint,
  plan: Plan,
  folder: string,
  { materialize = false, signal, onProgress }: ExportOptions = {},
): Promise<number> {
  refusePacked(checkpoint)
  checkPlanFits(plan, checkpoint)
  const tensors = materialize ? materialized(checkpoint, plan) : kept(checkpoint, plan)
  return await writeModel(folder, checkpoint, tensors, {
    dtype: mainDType(tensors),
    plan: materialize ? plan.remainder() : plan,
    // transformers refuses a file that does not say this
    metadata: { format: 'pt' },
    signal,
    onProgress,
  })
}

export interface ModelFolder extends Pick<WriteOptions, 'metadata' | 'align' | 'signal'> {
  /** What config.json calls torch_dtype. */
  readonly dtype: WeightDType
  /** What lies beside the weights. */
  readonly plan: Plan | undefined
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

/** Writes a folder of weights, config, plan and tokenizer. Returns the bytes of weights. Throws OutputError. */
export async function writeModel(
  outDir: string,
  { architecture, tokenizerPath }: Checkpoint,
  tensors: readonly TensorSource[],
  { dtype, plan, onProgress, ...options }: ModelFolder,
): Promise<number> {
  const total = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
  const fill = async (folder: string): Promise<void> => {
    await writeSafetensors(join(folder, 'model.safetensors'), tensors, {
      ...options,
      onProgress: (done) => onProgress?.(done, total),
    })
    const config = configFromArchitecture(architecture, dtype)
    await writeFile(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`, { flush: true })
    if (plan !== undefined) await writeFile(join(folder, PLAN_FILE), plan.stringify(), { flush: true })
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

/** The fixed tensors and each sub-block that runs anywhere, byte for byte. */
function kept(checkpoint: Checkpoint, plan: Plan): Stored[] {
  const { architecture, tensors } = checkpoint
  const specs: TensorSpec[] = [...fixedTensors(architecture)]
  for (const source of plan.sources()) specs.push(...subBlockTensors(architecture, source))
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

function materialized(checkpoint: Checkpoint, { table, scales }: Plan): Stored[] {
  const { architecture, tensors } = checkpoint
  const fixed = fixedTensors(architecture).map((spec) => copied(spec, tensors.get(spec.name)!, 1))
  const inPlace = table.flatMap((source, p) => {
    const targets = subBlockTensors(architecture, p)
    if (source === null) return targets.map((spec) => skipped(spec, tensors.get(spec.name), checkpoint))
    // sources and targets are of one kind, so their tensors stand in the same order
    return subBlockTensors(architecture, source).map(({ name }, i) => {
      const spec = targets[i]!
      return copied(spec, tensors.get(name)!, isOutput(spec) ? scales[p]! : 1)
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
