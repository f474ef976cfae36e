import type { z } from 'zod'
import { checkArgument, abortSignal, instance, optionsOf, whole } from '../../io/arguments.js'
import { checkBatch } from '../../options.js'
import { Encoder } from '../../encoder.js'
import { isAttention, subBlockCount } from '../../model/architecture.js'
import { blocksOf } from '../../model/parameters.js'
import { runJob, type NativeEncoder, type NativeStates } from '../../native/addon.js'
import type { Engine } from '../../native/engine.js'
import type { LoadedPlan } from '../../native/loaded-plan.js'
import { Plan } from '../../plan/plan.js'
import { chunksOf, packCalibration, type CalibrationInput, type Chunk } from './calibration.js'

/** Mean cosines over tokens: what makes skipping and re-use plausible in this encoder (the paper's Fig. 3). */
export interface Similarity {
  /** [2L + 1, 2L + 1]: the dense encoder's residual stream after i sub-blocks with that after j. */
  readonly hidden: readonly (readonly number[])[]
  /** [L, L] each: residuals F_i(h) and F_j(h) of two sub-blocks of a type for the same h, the stream in mid-encoder. */
  readonly attention: readonly (readonly number[])[]
  readonly feedForward: readonly (readonly number[])[]
  /** Tokens they are means over, spread evenly over the calibration set, and how many that has. */
  readonly tokens: number
  readonly ofTokens: number
  /** Executions of a sub-block x tokens, on top of the search's. */
  readonly executed: number
}

export interface SimilarityOptions {
  /** Longest prompt, in tokens. Default: 512. */
  readonly maxTokens?: number | undefined
  readonly signal?: AbortSignal | undefined
}

const schema = optionsOf({ maxTokens: whole(1), signal: abortSignal }) satisfies z.ZodType<SimilarityOptions>

/** Enough for a picture; each pair of 2L + 1 states is compared. */
const SAMPLE_TOKENS = 1024
/** 2L + 1 states of a chunk are held at once: 51 MB for 24 blocks of width 4096, more only for a single longer prompt. */
const CHUNK_TOKENS = 64
/**
 * Residual scale under which h + s F(h) points where F(h) does, so that comparing states compares residuals. A power of two:
 * s F is exact in float32, and h is below its last bits.
 */
const MAGNIFY = 2 ** 30

/**
 * Measures a sample of the calibration set on the dense encoder. Its sub-blocks are all loaded meanwhile; free within
 * `selectPlan`'s `onResult`, where they are already.
 * @throws InputError; PlanError; the signal's reason
 */
export async function measureSimilarity(
  encoder: Encoder,
  calibration: CalibrationInput,
  options: SimilarityOptions = {},
): Promise<Similarity> {
  checkArgument(instance(Encoder, 'an Encoder'), encoder, 'encoder')
  checkBatch(calibration, 'calibration')
  const { maxTokens = 512, signal } = checkArgument(schema, options, 'options')
  const { engine, architecture, checkpoint, tokenizer } = encoder
  const batch = await packCalibration(calibration, { checkpoint, tokenizer, maxTokens, signal })
  const chunks = chunksOf(batch, architecture.width, false, CHUNK_TOKENS)
  const sample = spread(chunks, SAMPLE_TOKENS)
  const count = subBlockCount(architecture)
  const [hidden, residuals] = [new Cosines(count + 1, () => true), new Cosines(count, sameType)]
  const dense = Plan.dense(blocksOf(architecture))
  const loaded: LoadedPlan[] = []
  try {
    for (const scale of [1, MAGNIFY]) {
      const plan = dense.with({ scales: dense.table.map(() => scale) })
      loaded.push(await engine.loadPlan(plan, [signal]))
    }
    const [plain, magnified] = loaded as [LoadedPlan, LoadedPlan]
    for (const chunk of sample) {
      await compareChunk(engine, { plain, magnified }, chunk, hidden, residuals, signal)
    }
  } finally {
    for (const plan of loaded) plan.dispose()
    await engine.native.trim().catch(() => undefined) // an encoder disposed meanwhile has nothing to free
  }
  const tokens = tokensOf(sample)
  const means = residuals.means(tokens)
  const ofType = (half: number): number[][] =>
    means.filter((_, i) => i % 2 === half).map((row) => row.filter((_, j) => j % 2 === half))
  return {
    hidden: hidden.means(tokens),
    attention: ofType(0),
    feedForward: ofType(1),
    tokens,
    ofTokens: tokensOf(chunks),
    executed: 2 * count * tokens,
  }
}

async function compareChunk(
  { native }: Engine,
  { plain, magnified }: Record<'plain' | 'magnified', LoadedPlan>,
  { batch }: Chunk,
  hidden: Cosines,
  residuals: Cosines,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { table } = plain.plan
  const held: NativeStates[] = []
  const advance = async (from: NativeStates, position: number, by: LoadedPlan): Promise<NativeStates> => {
    const states = await runJob([signal], (cancel) =>
      native.advance(from, by.native, position, position + 1, cancel),
    )
    held.push(states)
    return states
  }
  try {
    const stream = [await runJob([signal], (cancel) => native.begin(batch, cancel))]
    held.push(stream[0]!)
    for (const position of table.keys()) stream.push(await advance(stream[position]!, position, plain))
    await hidden.add(native, stream, signal)
    const middle = stream[table.length / 2]!
    for (const states of stream) if (states !== middle) states.dispose()
    const residual: NativeStates[] = []
    for (const position of table.keys()) residual.push(await advance(middle, position, magnified))
    await residuals.add(native, residual, signal)
  } finally {
    for (const states of held) states.dispose()
  }
}

/** Sums of the tokens' cosines over chunks, for all pairs that count. */
class Cosines {
  readonly #sums: number[][]

  constructor(
    size: number,
    readonly counts: (i: number, j: number) => boolean,
  ) {
    this.#sums = Array.from({ length: size }, () => Array<number>(size).fill(0))
  }

  async add(
    native: NativeEncoder,
    states: readonly NativeStates[],
    signal: AbortSignal | undefined,
  ): Promise<void> {
    for (let i = 0; i < states.length; i++) {
      for (let j = 0; j <= i; j++) {
        if (!this.counts(i, j)) continue
        signal?.throwIfAborted()
        const rows = await native.compareStates(states[i]!, states[j]!)
        let sum = 0
        for (let s = 1; s < rows.length; s += 4) sum += rows[s]! // [sequences, 4], the second is the cosines' sum
        this.#sums[i]![j]! += sum
        if (i !== j) this.#sums[j]![i]! += sum
      }
    }
  }

  means(tokens: number): number[][] {
    return this.#sums.map((row) => row.map((sum) => sum / tokens))
  }
}

/** Every n-th chunk, so that at most `most` tokens (or one chunk) are left. */
function spread(chunks: readonly Chunk[], most: number): Chunk[] {
  for (let n = 1; ; n++) {
    const kept = chunks.filter((_, i) => i % n === 0)
    if (kept.length === 1 || tokensOf(kept) <= most) return kept
  }
}

const sameType = (i: number, j: number): boolean => isAttention(i) === isAttention(j)
const tokensOf = (chunks: readonly Chunk[]): number => chunks.reduce((sum, { tokens }) => sum + tokens, 0)
