import { writeFile } from 'node:fs/promises'
import type { z } from 'zod'
import { dirname, join } from 'node:path'
import { CheckpointError } from '../errors.js'
import { checkPlanFits } from '../checkpoint/fits.js'
import { callback, checkArgument, checkPath, flag, optionsOf, abortSignal } from '../io/arguments.js'
import { checkIsCheckpoint } from '../checkpoint/check.js'
import { checkIsPlan, type Plan } from '../plan/plan.js'
import { familyOf, type PlacedTensor, type TensorSpec } from '../families/index.js'
import { writeFolderAtomically } from '../io/atomic.js'
import { reporting, type Reports } from '../io/reports.js'
import { constantChunks, foldedChunks, ordinaryDType, rawChunks } from './fold.js'
import { scaleNames } from '../checkpoint/companions.js'
import { PLAN_FILE } from '../checkpoint/open.js'
import { copyTokenizer } from './tokenizer-files.js'
import { storedTensors, type Checkpoint, type TensorRef } from '../checkpoint/types.js'
import type { PlainEncoding } from '../model/encoding.js'
import { isOutput, type Role } from '../model/roles.js'
import { tensorBytes, writeSafetensors, type TensorSource, type WriteOptions } from './write.js'

export interface ExportOptions {
  /** An ordinary Hugging Face checkpoint with the plan worked into its weights, instead of one with a plan beside it. */
  readonly materialize?: boolean | undefined
  readonly signal?: AbortSignal | undefined
  /** Bytes of weights written so far, of how many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

const schema = optionsOf({
  materialize: flag,
  signal: abortSignal,
  onProgress: callback<NonNullable<ExportOptions['onProgress']>>(),
}) satisfies z.ZodType<ExportOptions>

/**
 * Writes what a plan keeps of a checkpoint as a new Hugging Face folder, which must not exist or be empty, with the plan beside it.
 * Weights are streamed and keep their type.
 *
 * Materialised, position p holds a copy of its source's weights, its residual scale multiplied into the output matrix
 * (`o`, `down`); where it is skipped, that matrix is zero, so that h + 0 is what any software computes. Fp8 becomes bf16, or
 * float32 where it carries a factor. The plan beside it holds only what weights cannot (Plan.remainder).
 *
 * Returns the bytes of weights written. Throws OutputError (folder not empty, cannot be written), PlanError (a plan of another
 * model, a source the checkpoint does not hold), CheckpointError (a source that changed, a scale that overflows); the signal's
 * reason; what onProgress threw.
 */
export async function exportCheckpoint(
  checkpoint: Checkpoint,
  plan: Plan,
  folder: string,
  options: ExportOptions = {},
): Promise<number> {
  checkIsCheckpoint(checkpoint)
  checkIsPlan(plan)
  checkPath(folder, 'folder')
  const { materialize = false, ...ending } = checkArgument(schema, options, 'options')
  refusePacked(checkpoint)
  checkPlanFits(plan, checkpoint)
  const tensors = materialize ? materialized(checkpoint, plan) : kept(checkpoint, plan)
  return await writeModel(folder, checkpoint, tensors, {
    dtype: mainDType(tensors),
    plan: materialize ? plan.remainder() : plan,
    // transformers refuses a file that does not say this
    metadata: { format: 'pt' },
    ...ending,
  })
}

export interface ModelFolder
  extends Pick<WriteOptions, 'metadata' | 'align'>, Pick<ExportOptions, 'signal' | 'onProgress'> {
  /** What config.json calls torch_dtype. */
  readonly dtype: PlainEncoding
  /** What lies beside the weights. */
  readonly plan: Plan | undefined
}

/**
 * Writes a folder of weights, config, plan and tokenizer. Returns the bytes of weights. Throws OutputError; the signal's reason;
 * what onProgress threw.
 */
export async function writeModel(
  outDir: string,
  { architecture, tokenizerPath, eosId }: Checkpoint,
  tensors: readonly TensorSource[],
  { dtype, plan, metadata, align, ...ending }: ModelFolder,
): Promise<number> {
  const family = familyOf(architecture)
  const total = tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0)
  const fill = async (folder: string, reports: Reports<[number, number]>): Promise<void> => {
    // first, because it can be refused
    if (tokenizerPath !== undefined) {
      await copyTokenizer(dirname(tokenizerPath), folder, family.tokenizerFiles)
    }
    await writeSafetensors(join(folder, 'model.safetensors'), tensors, {
      ...{ metadata, align, signal: reports.signal },
      onProgress: (done) => reports.report(done, total),
    })
    const config = {
      ...family.config(architecture, dtype),
      ...(eosId === undefined ? {} : { eos_token_id: eosId }),
    }
    await writeFile(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`, { flush: true })
    if (plan !== undefined) await writeFile(join(folder, PLAN_FILE), plan.stringify(), { flush: true })
    await reports.settled()
  }
  await reporting(ending, (reports) =>
    writeFolderAtomically(outDir, (folder) => fill(folder, reports), reports.signal),
  )
  return total
}

/** @throws CheckpointError: packed weights are rounded, and cannot be written in another form */
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

/** The tensors that every plan keeps and those of the sub-blocks that run anywhere, byte for byte. */
function kept(checkpoint: Checkpoint, { table }: Plan): Stored[] {
  const stays = ({ subBlock, shared }: PlacedTensor): boolean =>
    subBlock === undefined || shared === true || table.includes(subBlock)
  return storedTensors(checkpoint)
    .filter(stays)
    .flatMap(({ name, shape, ref }) => {
      const stored = { name, dtype: ref.encoding, shape, data: rawChunks(ref) }
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
type Stored = TensorSource & { readonly dtype: PlainEncoding }

function materialized(checkpoint: Checkpoint, { table, scales }: Plan): Stored[] {
  const { architecture, subBlocks } = checkpoint
  const fixed = storedTensors(checkpoint).filter(({ subBlock, shared }) => subBlock === undefined || shared)
  const inPlace = table.flatMap((source, p) => {
    const specs = familyOf(architecture)
      .subBlock(architecture, p)
      .filter(({ shared }) => !shared)
    if (source === null) return specs.map((spec) => skipped(spec, subBlocks[p]![spec.role], checkpoint))
    return specs.map((spec) =>
      copied(spec, subBlocks[source]![spec.role]!, isOutput(spec.role) ? scales[p]! : 1),
    )
  })
  return [...fixed.map((tensor) => copied(tensor, tensor.ref, 1)), ...inPlace]
}

function copied({ name, shape }: TensorSpec, ref: TensorRef, factor: number): Stored {
  const dtype = ordinaryDType(ref)
  return { name, shape, dtype, data: foldedChunks(ref, factor, dtype) }
}

/** A skipped position keeps its own weights where the checkpoint holds them; only its output matrix is zeroed. */
function skipped(spec: TensorSpec<Role>, ref: TensorRef | undefined, { fixed }: Checkpoint): Stored {
  const { name, shape, role } = spec
  if (ref !== undefined && !isOutput(role)) return copied(spec, ref, 1)
  const dtype = ordinaryDType(ref ?? fixed.finalNorm!)
  const count = shape.reduce((product, n) => product * n, 1)
  return { name, shape, dtype, data: constantChunks(role === 'norm' ? 1 : 0, dtype, count) }
}

/** The element type with the most bytes: what a config.json calls torch_dtype. */
function mainDType(tensors: readonly Stored[]): PlainEncoding {
  const bytes = new Map<PlainEncoding, number>()
  for (const tensor of tensors) bytes.set(tensor.dtype, (bytes.get(tensor.dtype) ?? 0) + tensorBytes(tensor))
  return [...bytes].reduce((max, each) => (each[1] > max[1] ? each : max))[0]
}
