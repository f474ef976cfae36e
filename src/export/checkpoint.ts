import { writeFile } from 'node:fs/promises'
import type { z } from 'zod'
import { dirname, join } from 'node:path'
import { CheckpointError } from '../errors.js'
import { checkPlanFits } from '../checkpoint/fits.js'
import { callback, checkArgument, checkPath, flag, optionsOf, abortSignal } from '../io/arguments.js'
import { checkIsCheckpoint } from '../checkpoint/check.js'
import { checkIsPlan, type Plan } from '../plan/plan.js'
import { familyOf, type PlacedTensor, type TensorSpec } from '../families/index.js'
import { configText } from '../families/hugging-face.js'
import { writeFolderAtomically } from '../io/atomic.js'
import { reporting, type Reports } from '../io/reports.js'
import { constantChunks, foldedChunks, ordinaryDType, rawChunks } from './fold.js'
import { scaleNames } from '../checkpoint/companions.js'
import { PLAN_FILE } from '../checkpoint/open.js'
import { joined, type Part } from './parts.js'
import { copyTokenizer } from './tokenizer-files.js'
import { storedTensors, type Checkpoint, type TensorRef } from '../checkpoint/types.js'
import type { Architecture } from '../model/architecture.js'
import type { PlainEncoding } from '../model/encoding.js'
import { isNorm, isOutput, type Role } from '../model/roles.js'
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
  const written = materialize
    ? { ...checkpoint, architecture: materializedArchitecture(checkpoint, plan) }
    : checkpoint
  return await writeModel(folder, written, tensors, {
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
    await writeFile(join(folder, 'config.json'), configText(config), { flush: true })
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
  const tensors = storedTensors(checkpoint).filter(stays)
  const scales = new Map(
    tensors.flatMap(({ name, ref }) => (ref.scale === undefined ? [] : [[name, ref.scale]])),
  )
  return [
    ...joined(
      tensors.map((tensor) => ({ ...tensor, dtype: tensor.ref.encoding, data: rawChunks(tensor.ref) })),
    ),
    ...[...scales].map(([name, scale]) => scaleTensor(name, scale)),
  ]
}

const scaleTensor = (name: string, scale: number): Stored => ({
  name: scaleNames(name)[0]!,
  dtype: 'F32',
  shape: [],
  data: new Uint8Array(Float32Array.of(scale).buffer),
})

/** A weight on its way to a file. */
type Stored = TensorSource & { readonly dtype: PlainEncoding }

/** Attributes travel with weights: a position that runs another's has that one's window and rotation too. */
function materializedArchitecture({ architecture }: Checkpoint, { table }: Plan): Architecture {
  const { subBlocks } = architecture
  return { ...architecture, subBlocks: table.map((source, p) => subBlocks[source ?? p]!) }
}

function materialized(checkpoint: Checkpoint, { table, scales }: Plan): Stored[] {
  const { architecture, subBlocks } = checkpoint
  const fixed = storedTensors(checkpoint).filter(({ subBlock, shared }) => subBlock === undefined || shared)
  const inPlace = table.flatMap((source, p) => {
    const specs = familyOf(architecture)
      .subBlock(architecture, p)
      .filter(({ shared }) => !shared)
    if (source === null) return specs.map((spec) => skipped(spec, subBlocks[p]![spec.role], checkpoint))
    const scaled = scaledRoles(specs)
    return specs.map((spec) =>
      copied(spec, subBlocks[source]![spec.role]!, scaled.includes(spec.role) ? scales[p]! : 1),
    )
  })
  return joined([...fixed.map((tensor) => copied(tensor, tensor.ref, 1)), ...inPlace])
}

/** What a residual scale multiplies: the norm of what is added, where there is one, else the last matrix and its bias. */
const scaledRoles = (specs: readonly TensorSpec<Role>[]): readonly Role[] =>
  specs.some(({ role }) => role === 'postNorm') ? ['postNorm'] : ['o', 'oBias', 'down', 'downBias']

/** What is zero where nothing is added. */
const isAdded = (role: Role): boolean => isOutput(role) || role === 'oBias' || role === 'downBias'

function copied({ name, shape, part }: TensorSpec, ref: TensorRef, factor: number): Stored & Part {
  const dtype = ordinaryDType(ref)
  return { name, shape, dtype, part, data: foldedChunks(ref, factor, dtype) }
}

/** A skipped position keeps its own weights where the checkpoint holds them; only its output matrix is zeroed. */
function skipped(spec: TensorSpec<Role>, ref: TensorRef | undefined, { fixed }: Checkpoint): Stored & Part {
  const { name, shape, role, part, plus = 0 } = spec
  if (ref !== undefined && !isAdded(role)) return copied(spec, ref, 1)
  const dtype = ordinaryDType(ref ?? fixed.finalNorm!)
  const count = shape.reduce((product, n) => product * n, 1)
  const value = isNorm(role) ? 1 - plus : 0
  return { name, shape, dtype, part, data: constantChunks(value, dtype, count) }
}

/** The element type with the most bytes: what a config.json calls torch_dtype. */
function mainDType(tensors: readonly Stored[]): PlainEncoding {
  const bytes = new Map<PlainEncoding, number>()
  for (const tensor of tensors) bytes.set(tensor.dtype, (bytes.get(tensor.dtype) ?? 0) + tensorBytes(tensor))
  return [...bytes].reduce((max, each) => (each[1] > max[1] ? each : max))[0]
}
