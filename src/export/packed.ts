import { writeModel, refusePacked } from './checkpoint.js'
import { joined } from './parts.js'
import { CHUNK_BYTES } from '../io/files.js'
import { foldedChunks } from './fold.js'
import {
  isPacked,
  PACKED_ALIGNMENT,
  packedMetadata,
  packedTensors,
  type PackedPrecision,
  type PackedRole,
} from '../checkpoint/packed.js'
import { storedTensors, type Checkpoint, type StoredTensor } from '../checkpoint/types.js'
import { tensorBytes, type TensorSource } from './write.js'
import { Engine } from '../native/engine.js'
import { blocksOf } from '../model/parameters.js'
import { isMatrix } from '../model/roles.js'
import { runJob } from '../native/addon.js'
import { checkPlanFits } from '../checkpoint/fits.js'
import { slotIn } from '../native/spec.js'
import { callback, checkArgument, checkPath, oneOf, abortSignal, threadCount } from '../io/arguments.js'
import { checkIsCheckpoint } from '../checkpoint/check.js'
import { z } from 'zod'
import { checkIsPlan, Plan } from '../plan/plan.js'
import { PRECISIONS, type Precision } from '../model/precision.js'
import { modelIdentity } from '../checkpoint/identity.js'

export interface PackedExportOptions {
  /** Precision of the sub-blocks for which the plan names none. */
  readonly precision: Precision
  /** Threads that pack. Default: all this process may use. */
  readonly threads?: number | undefined
  readonly signal?: AbortSignal | undefined
  /** Bytes of weights written so far, of how many. */
  readonly onProgress?: ((done: number, total: number) => void) | undefined
}

const schema = z.strictObject(
  {
    precision: oneOf(...PRECISIONS),
    threads: threadCount.optional(),
    signal: abortSignal.optional(),
    onProgress: callback<NonNullable<PackedExportOptions['onProgress']>>().optional(),
  },
  { error: 'an object' },
) satisfies z.ZodType<PackedExportOptions>

/**
 * Writes what a plan keeps of a checkpoint, each sub-block in the precision it will be held in, as a new folder that
 * loads back here: int8 and int4 as the kernels read them, to be mapped and used in place by any number of processes; bf16 and
 * f32 as ordinary tensors. The token embedding is bf16 (f32 in f32), norms and biases are float32. One sub-block at a time is in
 * memory. Returns the bytes of weights written.
 * Throws OutputError (folder not empty, cannot be written), PlanError, CheckpointError (packed already, weights that are NaN); the
 * signal's reason; what onProgress threw.
 */
export async function exportPacked(
  checkpoint: Checkpoint,
  plan: Plan,
  folder: string,
  options: PackedExportOptions,
): Promise<number> {
  checkIsCheckpoint(checkpoint)
  checkIsPlan(plan)
  checkPath(folder, 'folder')
  const { precision, threads, signal, onProgress } = checkArgument(schema, options, 'options')
  refusePacked(checkpoint)
  checkPlanFits(plan, checkpoint)
  const { architecture } = checkpoint
  const engine = await Engine.open(checkpoint, { device: 'cpu', precision, threads, signal })
  try {
    const packer = new Packer(checkpoint, engine, signal)
    const dtype = precision === 'f32' ? 'F32' : 'BF16'
    const stored = storedTensors(checkpoint)
    const ownOf = (owner: number | undefined): StoredTensor[] =>
      stored.filter(({ subBlock, shared }) => (shared ? undefined : subBlock) === owner)
    const tensors = plan.sources().flatMap((source) => {
      const own = plan.precisions[source] ?? precision
      if (!isPacked(own)) return ordinary(ownOf(source), own === 'f32' ? 'F32' : 'BF16')
      const beside = ownOf(source).filter(({ role }) => !isMatrix(role))
      return [...packer.tensors(source, own), ...ordinary(beside, dtype)]
    })
    tensors.push(...ordinary(ownOf(undefined), dtype))
    const anyPacked = plan.sources().some((source) => isPacked(plan.precisions[source] ?? precision))
    const original = await modelIdentity(checkpoint)
    return await writeModel(folder, checkpoint, tensors, {
      dtype,
      plan,
      metadata: {
        format: anyPacked ? 'skrr' : 'pt',
        ...packedMetadata(architecture, { precision, original }),
      },
      align: PACKED_ALIGNMENT,
      signal,
      onProgress,
    })
  } finally {
    await engine.native.dispose()
  }
}

/** Tensors as files hold them: matrices in `dtype`, everything else in float32. */
const ordinary = (tensors: readonly StoredTensor[], dtype: 'F32' | 'BF16'): TensorSource[] =>
  joined(
    tensors.map(({ name, shape, part, role, ref }) => {
      const own = isMatrix(role) ? dtype : 'F32'
      return { name, shape, part, dtype: own, data: foldedChunks(ref, 1, own) }
    }),
  )

type Pieces = Readonly<Record<PackedRole, Uint8Array>>

/** Packs sub-blocks on the engine's threads, one after the other as their tensors' turns come. */
class Packer {
  #held: { subBlock: number; pieces: Pieces } | undefined

  constructor(
    private readonly checkpoint: Checkpoint,
    private readonly engine: Engine,
    private readonly signal: AbortSignal | undefined,
  ) {}

  tensors(subBlock: number, precision: PackedPrecision): TensorSource[] {
    return packedTensors(this.checkpoint.architecture, subBlock, precision).map((spec) => ({
      ...spec,
      data: this.#stream(subBlock, precision, spec.role),
    }))
  }

  async *#stream(subBlock: number, precision: PackedPrecision, role: PackedRole): AsyncGenerator<Uint8Array> {
    if (this.#held?.subBlock !== subBlock) {
      this.#held = undefined // before the next is made: only one is in memory
      this.#held = { subBlock, pieces: await this.#pack(subBlock, precision) }
    }
    const bytes = this.#held.pieces[role]
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) yield bytes.subarray(at, at + CHUNK_BYTES)
  }

  async #pack(subBlock: number, precision: PackedPrecision): Promise<Pieces> {
    const { architecture } = this.checkpoint
    const { native } = this.engine
    const dense = Plan.dense(blocksOf(architecture)).table
    const alone = new Plan(
      dense.map((s) => (s === subBlock ? s : null)),
      { precisions: dense.map(() => precision) },
    )
    const loaded = await this.engine.loadPlan(alone, [this.signal])
    const pieces = Object.fromEntries(
      packedTensors(architecture, subBlock, precision).map((spec) => [
        spec.role,
        new Uint8Array(tensorBytes(spec)),
      ]),
    ) as Record<PackedRole, Uint8Array>
    for (const which of ['in', 'out'] as const) {
      const scales = new Float32Array(pieces[`${which}Scales`].buffer)
      await runJob([this.signal], () =>
        native.copyPacked(slotIn(precision, subBlock), which, pieces[which], scales),
      )
    }
    loaded.dispose()
    await native.trim()
    return pieces
  }
}
