import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { onAbort } from '../io/abort.js'
import { installedFile } from '../io/installed.js'
import { CheckpointError, InputError, PlanError, SkrrError, type ErrorCode } from '../errors.js'
import type { Architecture, Attention, FeedForward } from '../model/architecture.js'
import type { Encoding } from '../model/encoding.js'
import type { FixedRole, Role } from '../model/roles.js'
import type { Rotation } from '../model/rope.js'
import { checkVocabulary, type Vocabulary } from './vocabulary.js'

/**
 * The one file that touches the .node binary: finds it, types its surface, turns its errors into ours.
 * The surface is binding/*.h; values are checked before they come here, the binding checks types and sizes again.
 */

/** Where one tensor lies; `file` is an index into NativeSpec.files. A vector [n] is one row of n columns. */
export interface NativeTensor {
  name: string
  file: number
  offset: number
  encoding: Encoding
  rows: number
  columns: number
  scale: number
  /** Added to every element after the scale. */
  plus?: number | undefined
}

/** An Architecture whose rotations are told by their frequencies (spec.ts). */
export interface NativeArchitecture extends Omit<Architecture, 'subBlocks'> {
  readonly subBlocks: readonly (NativeAttention | FeedForward)[]
}
export interface NativeAttention extends Omit<Attention, 'rope'> {
  readonly rope?: Rotation
}

export interface NativeSpec {
  architecture: NativeArchitecture
  files: string[]
  /** Packed weights are used where they lie in their files; else each one is read. */
  mapped: boolean
  fixed: Partial<Record<FixedRole, NativeTensor>>
  /** An empty object for a sub-block the checkpoint does not hold. */
  subBlocks: Partial<Record<Role, NativeTensor>>[]
}

/** Where an encoder runs: `cuda` is `cuda:0`. */
export type DeviceName = 'cpu' | 'cuda' | `cuda:${number}`

export interface NativeOptions {
  /** Default: cpu. */
  device?: DeviceName | undefined
  /** 0: all this process may use. */
  threads: number
}

export type OutputType = 'f32' | 'bf16' | 'f16'

/** Packed sequences, see engine/batch.h. One of ids and embeds. */
export interface NativeBatch {
  starts: Int32Array
  indices: Int32Array
  /** Those of the indices where absent. */
  positions?: Int32Array | undefined
  visible: Uint8Array
  ids?: Int32Array | undefined
  embeds?: Float32Array | undefined
}

/** Where a result goes, see Output in engine/batch.h. */
export interface NativeOutput {
  data: Float32Array | Uint16Array
  type: OutputType
  /** [packed] row of the result that a token is written to, -1 for none. */
  rows: Int32Array
  /** Positions of the plan that have run. */
  after: number
  norm: boolean
  projected: boolean
  /** Column c of row r is element r * stride + first + c * step. */
  stride: number
  first: number
  step: number
}

/** A plan as the engine reads it. */
export interface NativePlan {
  /** [positions] the slot whose weights run there (spec.ts), -1 where nothing runs. */
  slots: Int32Array
  /** [positions] factor on each residual. */
  scales: Float32Array
  /** Applied to the output after the final norm. */
  map?: NativeMapSpec | undefined
}

/** Layers applied to rows one after the other. With `residual` their result is added to the rows; else GELU(tanh) stands between two. */
export interface NativeMapSpec {
  layers: readonly NativeMapLayer[]
  residual: boolean
}

export interface NativeEncoder {
  /** Loads what is missing. The slots stay until the loaded plan is disposed, and then until trim(). */
  loadPlan(plan: NativePlan, cancel: CancelToken, onProgress?: NativeProgress): Promise<NativeLoadedPlan>
  /** Frees every slot that no loaded plan holds. */
  trim(): Promise<void>
  /** Copies the packed weights of a loaded int8 or int4 slot (src/checkpoint/packed.ts) into arrays of exactly their sizes. */
  copyPacked(slot: number, which: 'in' | 'out', data: Uint8Array, scales: Float32Array): Promise<void>
  /** `outputs` in the order of `after`. */
  encode(
    batch: NativeBatch,
    plan: NativeLoadedPlan,
    outputs: readonly NativeOutput[],
    cancel: CancelToken,
  ): Promise<void>
  memory(): { weights: number; embedding: number; workspace: number }
  dispose(): Promise<number>

  // For the search of plans. States are immutable: advance() makes new ones. All handles should be disposed.
  begin(batch: NativeBatch, cancel: CancelToken): Promise<NativeStates>
  /** A copy of `states` after positions [from, to) of the plan. */
  advance(
    states: NativeStates,
    plan: NativeLoadedPlan,
    from: number,
    to: number,
    cancel: CancelToken,
  ): Promise<NativeStates>
  loadMap(map: NativeMapSpec): Promise<NativeMap>
  /** Final norm, then the plan's map and the projection where there is one. */
  features(
    states: NativeStates,
    plan: NativeLoadedPlan | undefined,
    projection: NativeMap | undefined,
    cancel: CancelToken,
  ): Promise<NativeFeatures>
  /** Runs positions [from, end) on a copy and compares its features with the reference's. */
  measure(
    states: NativeStates,
    plan: NativeLoadedPlan,
    from: number,
    projection: NativeMap | undefined,
    reference: NativeFeatures,
    cancel: CancelToken,
  ): Promise<NativeComparison>
  /** Compares the residual streams, without the final norm. */
  compareStates(a: NativeStates, b: NativeStates): Promise<NativeComparison>
  compareFeatures(a: NativeFeatures, b: NativeFeatures): Promise<NativeComparison>

  /** The least-squares problem of a compensation, without tokens yet: [width, width] sums in double on the host. */
  newRegression(): Promise<NativeRegression>
  /** Adds a batch's tokens, each with this weight: their states under a plan and in the dense encoder. */
  addTo(
    regression: NativeRegression,
    plan: NativeStates,
    dense: NativeStates,
    weight: number,
    cancel: CancelToken,
  ): Promise<void>
  /** Fits a map (engine/regression.h) into down and up [rank, width]; metric [features, width]. */
  fit(
    regression: NativeRegression,
    ridge: number,
    metric: Float32Array | undefined,
    down: Float32Array,
    up: Float32Array,
    rank: number,
    cancel: CancelToken,
  ): Promise<void>
}

/** An object that lives on the device until it is disposed (or collected). */
export interface NativeHandle {
  readonly bytes: number
  dispose(): void
}
export interface NativeStates extends NativeHandle {
  readonly kind?: 'states'
}
export interface NativeFeatures extends NativeHandle {
  readonly kind?: 'features'
}
export interface NativeMap extends NativeHandle {
  readonly kind?: 'map'
}
/** `bytes` counts its map. */
export interface NativeLoadedPlan extends NativeHandle {
  readonly kind?: 'plan'
}
export interface NativeRegression extends NativeHandle {
  readonly kind?: 'regression'
}

/** y = W x + b, W [rows, columns] row-major. */
export interface NativeMapLayer {
  weight: Float32Array
  bias?: Float32Array | undefined
  rows: number
  columns: number
}

/**
 * [sequences, 4] sums over a sequence's tokens, in double: squared error over tokens and features, cosines of tokens, squares
 * of a, squares of b.
 */
export type NativeComparison = Float64Array

export interface NativeBenchRequest {
  tables: { name: string; slots: Int32Array; scales: Float32Array }[]
  tokens: Int32Array
  repeats: number
}

/** A device's ceilings and the rates reached on it (engine/bench.h). Rates are per second. */
export interface NativeBench {
  /** Bytes a second, and what reached it. */
  memory: number
  memoryBy: string
  /** Multiplications and additions in the precision of the weights, and what reached it. */
  multiply: number
  multiplyBy: string
  /** The same in float32, where attention computes in it. */
  float32: number
  rows: NativeBenchRow[]
}

export interface NativeBenchRow {
  what: string
  plan: string
  tokens: number
  seconds: number
  lower: number
  upper: number
  bytes: number
  flops: number
  /** The least time that the ceilings allow. */
  minSeconds: number
}

export type NativeProgress = (doneBytes: number, totalBytes: number) => void

export interface CancelToken {
  cancel(): void
}

export interface Binding {
  CancelToken: new () => CancelToken
  open(spec: NativeSpec, options: NativeOptions, cancel: CancelToken): Promise<NativeEncoder>
  /** Bytes of these slots (each once), of a map of this rank, and of a batch, on any device. */
  estimate(
    architecture: NativeArchitecture,
    options: NativeOptions,
    slots: Int32Array,
    rank: number,
    tokens: number,
    longest: number,
  ): Promise<{ weights: number; workspace: number }>
  bench(
    architecture: NativeArchitecture,
    options: NativeOptions,
    request: NativeBenchRequest,
    cancel: CancelToken,
    onProgress: NativeProgress,
  ): Promise<NativeBench>
  /**
   * Locks an open file for whoever opened it (flock), until it is closed or the process ends. False: somebody else has it locked.
   * Rejects where the file system has no locks.
   */
  lockFile(descriptor: number): Promise<boolean>
  /** The name of a CUDA device; with `check` once it has computed what the CPU does. Loads the library into this process. */
  probeCuda(library: string, device: number, check: boolean): string
  /** Where the CUDA library is expected. */
  cudaLibraryPath(): string
  /** What the addon was built with; isas: the instruction sets for which this CPU can run kernels. */
  describe(): Vocabulary & { isa: string; isas: string[]; threads: number }
}

const here = `${process.platform}-${process.arch}`

let binding: Binding | undefined

/** The addon, loaded at first use. @throws SkrrError ERR_DEVICE that says what is missing and what to do */
export function native(): Binding {
  if (binding === undefined) {
    const loaded = loadBinding()
    checkVocabulary(
      addonFile(),
      callNative(() => loaded.describe()),
    )
    binding = loaded
  }
  return binding
}

/** The addon's file, which need not exist. SKRR_ADDON names another build than the installed one (the sanitizers' tests do that). */
export function addonFile(): string {
  const { SKRR_ADDON } = process.env
  return SKRR_ADDON === undefined ? installedFile('prebuilds', here, 'skrr.node') : resolve(SKRR_ADDON)
}

/** The commit that the addon was built from, `-dirty` where files differed from it; null where that is not known. */
export function addonCommit(): string | null {
  const file = join(dirname(addonFile()), 'build.json')
  if (!existsSync(file)) return null
  return (JSON.parse(readFileSync(file, 'utf8')) as { commit: string | null }).commit
}

function loadBinding(): Binding {
  const file = addonFile()
  if (!existsSync(file)) {
    const prebuilds = installedFile('prebuilds')
    const others = existsSync(prebuilds) ? readdirSync(prebuilds).join(', ') : ''
    throw new SkrrError('ERR_DEVICE', {
      file,
      found: others === '' ? 'no native addon' : `addons for ${others} only`,
      expected: `the one for ${here}`,
      hint: 'Run `npm run build` in a checkout of skrr (needs g++, and cmake or npm with node-gyp)',
    })
  }
  try {
    // not by an import: webpack would put a require of its own in its place
    return process.getBuiltinModule('node:module').createRequire(file)(file) as Binding
  } catch (cause) {
    throw new SkrrError(
      'ERR_DEVICE',
      {
        file,
        message: `cannot be loaded: ${(cause as Error).message}`,
        hint: 'It was built for another system or is damaged. Run `npm run build` in a checkout of skrr',
      },
      { cause },
    )
  }
}

/** Runs a call that can fail in the engine, and gives its error our class. */
export function callNative<T>(call: () => T): T {
  try {
    return call()
  } catch (error) {
    throw fromNative(error)
  }
}

/**
 * Runs a job of the engine under abort signals. When one aborts, the promise rejects at once with its reason; the job stops at its
 * next poll, and the array it writes to is never handed out.
 */
export async function runJob<T>(
  signals: readonly (AbortSignal | undefined)[],
  start: (cancel: CancelToken) => Promise<T>,
): Promise<T> {
  const active = signals.filter((signal) => signal !== undefined)
  for (const signal of active) signal.throwIfAborted()
  const cancel = new (native().CancelToken)()
  const job = callNative(() => start(cancel)).catch((error: unknown) => {
    throw fromNative(error)
  })
  let lost = true
  let stops: (() => void)[] = []
  const aborted = new Promise<never>((_, reject) => {
    stops = active.map((signal) =>
      onAbort(signal, () => {
        cancel.cancel()
        reject(signal.reason as Error)
      }),
    )
  })
  try {
    const result = await Promise.race([job, aborted])
    lost = false
    return result
  } finally {
    for (const stop of stops) stop()
    if (lost) void job.then(disposeOf, () => undefined) // a result that comes too late has no other owner
  }
}

async function disposeOf(result: unknown): Promise<void> {
  if (typeof result !== 'object' || result === null || !('dispose' in result)) return
  await (result as { dispose(): unknown }).dispose()
}

/** The error class of each code that the engine uses; codes in PLAIN become SkrrErrors. */
const CLASSES = { ERR_CHECKPOINT: CheckpointError, ERR_PLAN: PlanError, ERR_INPUT: InputError }
const PLAIN: readonly ErrorCode[] = ['ERR_DEVICE', 'ERR_ENGINE', 'ERR_DISPOSED']

export function fromNative(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof SkrrError) return error
  const { code } = error as NodeJS.ErrnoException
  const detail = { message: error.message }
  if (code !== undefined && code in CLASSES) return new CLASSES[code as keyof typeof CLASSES](detail)
  // types are checked before they come here; a number out of range can stand in a Checkpoint that a caller made by hand
  if (error instanceof RangeError) return new InputError(detail, { cause: error })
  const plain = PLAIN.find((known) => known === code)
  return plain === undefined ? error : new SkrrError(plain, detail)
}
