import { SkrrError } from '../../errors.js'
import { type Architecture } from '../../model/architecture.js'
import { blocksOf } from '../../model/parameters.js'
import {
  runJob,
  type CancelToken,
  type NativeComparison,
  type NativeFeatures,
  type NativeHandle,
  type NativeMap,
  type NativeMapLayer,
  type NativeStates,
} from '../../native/addon.js'
import type { Engine } from '../../native/engine.js'
import { Plan } from '../../plan/plan.js'
import type { Chunk } from './calibration.js'
import { LoadedPlans } from './loaded-plans.js'
import { memoryMemo, unknown, type Memo } from './memo.js'
import { reduceProjection } from './reduce.js'
import { programOf, type Program } from './program.js'
import { StateCache } from './state-cache.js'

export type Metric = 'mse' | 'cosine'

/** D and its two terms. */
export interface Discrepancy {
  readonly total: number
  readonly calibration: number
  readonly null: number
}

/** Work in executions of a sub-block x tokens: deterministic, the same on every machine. */
export interface Work {
  /** What was run. */
  readonly executed: number
  /** What running every plan in full over all tokens would have been, each time its D was asked for. */
  readonly naive: number
}

export interface EvaluatorOptions {
  readonly engine: Engine
  readonly chunks: readonly Chunk[]
  readonly projection?: readonly NativeMapLayer[] | undefined
  readonly metric?: Metric | undefined
  /** Most bytes of cached states; default 1 GiB. */
  readonly cacheBytes?: number | undefined
  readonly memo?: Memo | undefined
  readonly signal?: AbortSignal | undefined
  /** Every plan in full each time: what the fast way is measured and tested against. */
  readonly naive?: boolean | undefined
}

export interface Norms {
  readonly squares: number
  readonly dense: number
}

/** A plan under measurement. */
export interface Candidate {
  readonly plan: Plan
  readonly program: Program
  /** [chunks] sum over the chunk's tokens (and features), NaN where not measured. */
  readonly errors: Float64Array
}

/**
 * Measures D of plans over a calibration set: with f the encoder's output after the final norm and the projection,
 *
 *     D = mean over the calibration set's real tokens and features of (f_dense - f)^2  +  the same mean over the null condition
 *
 * or, with metric `cosine`, of 1 - cos(f_dense, f) over tokens. All sub-blocks must be loaded in the engine.
 */
export class Evaluator {
  readonly chunks: readonly Chunk[]
  readonly naive: boolean
  readonly engine: Engine
  readonly signal: AbortSignal | undefined
  /** What features are squared under: as given, or reduced (reduce.ts). */
  readonly projection: readonly NativeMapLayer[] | undefined
  readonly #metric: Metric
  readonly #memo: Memo
  readonly #cache: StateCache
  readonly #projection: NativeMap | undefined
  readonly #reference: NativeFeatures[] = []
  readonly #weights: readonly number[]
  readonly #loaded: LoadedPlans
  #executed = 0
  #naiveWork = 0

  private constructor(
    options: EvaluatorOptions,
    layers: readonly NativeMapLayer[] | undefined,
    roots: readonly NativeStates[],
    projection: NativeMap | undefined,
  ) {
    const { chunks, metric = 'mse', cacheBytes = 2 ** 30 } = options
    this.chunks = chunks
    this.naive = options.naive ?? false
    this.engine = options.engine
    this.#metric = metric
    this.signal = options.signal
    this.projection = layers
    this.#memo = options.memo ?? memoryMemo(chunks.length)
    this.#cache = new StateCache(roots, this.naive ? 0 : cacheBytes)
    this.#projection = projection
    this.#loaded = new LoadedPlans(options.engine, options.signal)
    const width = metric === 'cosine' ? 1 : (options.projection?.at(-1)?.rows ?? this.architecture.width)
    this.#weights = chunks.map(
      ({ isNull }) => 1 / (width * tokensOf(chunks.filter((c) => c.isNull === isNull))),
    )
  }

  /** Runs the dense encoder over the calibration set and keeps its features on the device. */
  static async create(options: EvaluatorOptions): Promise<Evaluator> {
    const { engine, signal, chunks } = options
    const reducible = options.metric !== 'cosine' && options.naive !== true
    const layers =
      options.projection && (reducible ? reduceProjection(options.projection) : options.projection)
    const held: NativeHandle[] = []
    const hold = async <T extends NativeHandle>(start: (cancel: CancelToken) => Promise<T>): Promise<T> => {
      const handle = await runJob([signal], start)
      held.push(handle)
      return handle
    }
    let evaluator: Evaluator | undefined
    try {
      const projection = layers && (await hold(() => engine.native.loadMap({ layers, residual: false })))
      const roots: NativeStates[] = []
      for (const { batch } of chunks) roots.push(await hold((cancel) => engine.native.begin(batch, cancel)))
      evaluator = new Evaluator(options, layers, roots, projection)
      await evaluator.#runDense()
      return evaluator
    } catch (error) {
      if (evaluator) evaluator.dispose()
      else for (const handle of held) handle.dispose()
      throw error
    }
  }

  async #runDense(): Promise<void> {
    const dense = this.candidate(Plan.dense(blocksOf(this.architecture)))
    for (const chunk of this.chunks.keys()) {
      const { states, owned } = await this.#run(dense, chunk)
      const features = await runJob([this.signal], (cancel) =>
        this.engine.native.features(states, undefined, this.#projection, cancel),
      )
      this.#reference.push(features)
      if (owned) states.dispose()
      await this.#checkReference(chunk)
    }
  }

  get architecture(): Architecture {
    return this.engine.checkpoint.architecture
  }

  get work(): Work {
    return { executed: this.#executed, naive: this.#naiveWork }
  }

  /** Bytes on the device: of the states cached for re-use now and at most, and of the dense features. */
  get memory(): { cache: number; cachePeak: number; reference: number } {
    const { now, peak } = this.#cache.bytes
    return {
      cache: now,
      cachePeak: peak,
      reference: this.#reference.reduce((sum, { bytes }) => sum + bytes, 0),
    }
  }

  candidate(plan: Plan): Candidate {
    const program = programOf(this.engine.resolve(plan))
    const errors = this.naive ? unknown(this.chunks.length) : this.#memo.errors(program.key)
    return { plan, program, errors }
  }

  /** Notes that D of this plan was asked for; what is compared with the work that was done. */
  request({ program }: Candidate): void {
    this.#naiveWork += program.steps.length * tokensOf(this.chunks)
  }

  /** D, all chunks measured. */
  async discrepancy(plan: Plan): Promise<Discrepancy> {
    const candidate = this.candidate(plan)
    this.request(candidate)
    for (const chunk of this.chunks.keys()) await this.measure(candidate, chunk)
    return this.total(candidate)
  }

  /** A term of D, as it counts in the sum; measured where it is not known. */
  async measure(candidate: Candidate, chunk: number): Promise<number> {
    const { errors, program } = candidate
    if (Number.isNaN(errors[chunk])) {
      errors[chunk] = await this.#error(candidate, chunk)
      await this.#memo.note(program.key, chunk, errors[chunk])
    }
    return errors[chunk]! * this.#weights[chunk]!
  }

  /** D of a candidate whose chunks are all measured; the sum's order is fixed, so that equal programs are exactly equal. */
  total({ errors }: Candidate): Discrepancy {
    let calibration = 0
    let nullTerm = 0
    for (const [i, { isNull }] of this.chunks.entries()) {
      const term = errors[i]! * this.#weights[i]!
      if (isNull) nullTerm += term
      else calibration += term
    }
    return { total: calibration + nullTerm, calibration, null: nullTerm }
  }

  /**
   * Chunks in the order that tells a bad candidate soonest: the most error for a token first, judged by plans already
   * measured. The null condition, a term of its own over few tokens, comes first by that rule.
   */
  failFastOrder(measured: readonly Candidate[]): number[] {
    const density = this.chunks.map(({ tokens }, i) => {
      const error = measured.reduce((sum, { errors }) => sum + (errors[i]! || 0), 0)
      return (error * this.#weights[i]!) / tokens
    })
    const nullFirst = (i: number): number => (this.chunks[i]!.isNull ? 0 : 1)
    return [...density.keys()].sort(
      (a, b) => density[b]! - density[a]! || nullFirst(a) - nullFirst(b) || a - b,
    )
  }

  /** What a plan makes of a chunk: the states after its last sub-block, for the caller to dispose. */
  async output(plan: Plan, chunk: number): Promise<NativeStates> {
    const candidate = this.candidate(plan)
    this.#naiveWork += candidate.program.steps.length * this.chunks[chunk]!.tokens
    const { states, owned } = await this.#run(candidate, chunk)
    if (owned) return states
    const loaded = await this.#loaded.of(plan)
    const end = plan.table.length // of no positions: a copy, since the cache may drop its own
    return runJob([this.signal], (cancel) =>
      this.engine.native.advance(states, loaded.native, end, end, cancel),
    )
  }

  /** Only states that are beginnings of these plans stay cached, and only these stay loaded. */
  retain(plans: readonly Plan[]): void {
    this.#cache.retain(plans.map((plan) => this.candidate(plan).program))
    this.#loaded.retain(plans)
  }

  /** Mean squares of a plan's features and of the dense encoder's (with metric mse), for the calibration set and the null condition. */
  async norms(plan: Plan): Promise<{ calibration: Norms; null: Norms }> {
    const candidate = this.candidate(plan)
    const sums = { calibration: { squares: 0, dense: 0 }, null: { squares: 0, dense: 0 } }
    for (const [chunk, { isNull }] of this.chunks.entries()) {
      const sum = isNull ? sums.null : sums.calibration
      for (const row of rowsOf(await this.#compare(candidate, chunk))) {
        sum.squares += row[2] * this.#weights[chunk]!
        sum.dense += row[3] * this.#weights[chunk]!
      }
    }
    return sums
  }

  dispose(): void {
    this.#cache.dispose()
    for (const features of this.#reference) features.dispose()
    this.#loaded.dispose()
    this.#projection?.dispose()
  }

  async #error(candidate: Candidate, chunk: number): Promise<number> {
    let error = 0
    for (const [squared, cosine] of rowsOf(await this.#compare(candidate, chunk))) {
      error += this.#metric === 'mse' ? squared : -cosine
    }
    // a cosine may round to above 1; a term of D is never negative
    if (this.#metric === 'cosine') error = Math.max(0, error + this.chunks[chunk]!.tokens)
    if (Number.isFinite(error)) return error
    throw notFinite(`the plan [${candidate.plan.table.join(', ')}]`)
  }

  async #checkReference(chunk: number): Promise<void> {
    const features = this.#reference[chunk]!
    const rows = rowsOf(await this.engine.native.compareFeatures(features, features))
    if (!rows.every((row) => row.every(Number.isFinite))) throw notFinite('the dense encoder')
  }

  async #compare(candidate: Candidate, chunk: number): Promise<NativeComparison> {
    const { states, owned } = await this.#run(candidate, chunk)
    const end = candidate.plan.table.length
    const reference = this.#reference[chunk]!
    try {
      const loaded = await this.#loaded.of(candidate.plan)
      return await runJob([this.signal], (cancel) =>
        this.engine.native.measure(states, loaded.native, end, this.#projection, reference, cancel),
      )
    } finally {
      if (owned) states.dispose()
    }
  }

  /** The states after the whole program, from the nearest ones cached; the caller disposes them if they are `owned`. */
  async #run({ plan, program }: Candidate, chunk: number): Promise<{ states: NativeStates; owned: boolean }> {
    const loaded = await this.#loaded.of(plan)
    const nearest = this.#cache.nearest(program, chunk)
    let { states } = nearest
    let owned = false
    for (let depth = nearest.depth; depth < program.steps.length; depth++) {
      const { position } = program.steps[depth]!
      const from = states
      const next = await runJob([this.signal], (cancel) =>
        this.engine.native.advance(from, loaded.native, position, position + 1, cancel),
      )
      this.#executed += this.chunks[chunk]!.tokens
      if (owned) states.dispose()
      states = next
      owned = !this.#cache.keep(program, depth + 1, chunk, next)
    }
    return { states, owned }
  }
}

const tokensOf = (chunks: readonly Chunk[]): number => chunks.reduce((sum, { tokens }) => sum + tokens, 0)

/** [squared error, cosines, squares, squares of the reference] of each sequence. */
function rowsOf(comparison: NativeComparison): [number, number, number, number][] {
  return Array.from(
    { length: comparison.length / 4 },
    (_, s) => [...comparison.subarray(4 * s, 4 * s + 4)] as [number, number, number, number],
  )
}

const notFinite = (what: string): SkrrError =>
  new SkrrError('ERR_ENGINE', {
    message: `${what} gives NaN or infinite features: the weights, the projection or the calibration set overflow float32`,
  })
