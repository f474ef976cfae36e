import { Encoder } from '../encoder.js'
import { blocksOf, subBlockCount } from '../model/architecture.js'
import { checkPlanFits } from '../native/spec.js'
import { native, type NativeMapLayer } from '../native/addon.js'
import type { LoadedPlan } from '../native/loaded-plan.js'
import { fingerprint } from '../model/fingerprint.js'
import { Plan } from '../plan/plan.js'
import {
  chunksOf,
  packCalibration,
  packNull,
  type CalibrationInput,
  type Chunk,
} from './measure/calibration.js'
import { checkCompensable, compensate, provenanceOf } from './methods/compensate.js'
import { calibrationIdentity } from './measure/identity.js'
import { modelIdentity } from '../checkpoint/identity.js'
import { Journal } from './measure/journal.js'
import { Evaluator, type Discrepancy, type Metric, type Work } from './measure/evaluator.js'
import {
  beamMethod,
  lacoMethod,
  shortGptMethod,
  type Chosen,
  type Method,
  type MethodOptions,
  type MethodProgress,
} from './methods/index.js'
import { skrrMethod } from './methods/skrr.js'
import { readProjection } from './measure/projection.js'
import { resolveSettings, type SelectOptions, type Settings } from './settings.js'
import { fixedBytes, targetReached, weightBytes } from './measure/target.js'
import type { Trace } from './trace.js'

export interface Selection {
  readonly plan: Plan
  readonly D: Discrepancy
  /** The terms of D over the mean squares of the dense features they compare with (metric mse). */
  readonly relative: Omit<Discrepancy, 'total'>
  /** Norm of the null condition's features over the dense encoder's. Far from 1 ruins images, whatever D says. */
  readonly nullNorm: number
  readonly work: Work
  /** Bytes of cached states at most. */
  readonly cachePeak: number
  readonly trace: Trace
}

export type { SelectOptions, SelectProgress } from './settings.js'
export type { CalibrationInput } from './measure/calibration.js'
export type { Target } from './measure/target.js'
export type { Method } from './methods/index.js'
export type { Trace } from './trace.js'
export type { Discrepancy, Work } from './measure/evaluator.js'

/** What a search works on. */
interface Subject {
  readonly encoder: Encoder
  readonly chunks: readonly Chunk[]
  readonly projection: readonly NativeMapLayer[] | undefined
  readonly journal: Journal | undefined
}

/**
 * Chooses a plan: which sub-blocks of the encoder to skip and which to re-use in their place, so that the embeddings of the
 * calibration set and of the null condition stay as near the dense encoder's as they can. The encoder's own plan stays what it is;
 * all its sub-blocks are loaded meanwhile, and one search at a time may run on it.
 * @throws InputError; PlanError for a checkpoint without all weights; OutputError for a journal; the signal's reason
 */
export async function selectPlan(
  encoder: Encoder,
  calibration: CalibrationInput,
  options: SelectOptions & {
    /** Puts the result where it stays, before the journal is deleted: what fails here is repeated by `resume`. */
    readonly onResult?: (selection: Selection) => Promise<void>
  },
): Promise<Selection> {
  const { architecture, engine } = encoder
  checkPlanFits(Plan.dense(blocksOf(architecture)), encoder.checkpoint)
  const settings = resolveSettings(options)
  const reached = targetReached(options.target, architecture, encoder.precision, settings.compensate)
  const projection =
    typeof options.projection === 'string'
      ? await readProjection(options.projection, architecture.width)
      : options.projection
  const chunks = await chunksFor(encoder, calibration, options)
  if (settings.compensate > 0) checkCompensable(settings.compensate, architecture, chunks)
  const journal = await openJournal({ encoder, chunks, projection }, options, settings)
  let dense: LoadedPlan | undefined
  try {
    dense = await engine.loadPlan(Plan.dense(blocksOf(architecture)), [options.signal])
    const selection = await search({ encoder, chunks, projection, journal }, options, settings, reached)
    await options.onResult?.(selection)
    await journal?.remove()
    return selection
  } catch (error) {
    await journal?.close()
    throw error
  } finally {
    dense?.dispose()
    await engine.native.trim().catch(() => undefined) // an encoder disposed meanwhile has nothing to free
  }
}

async function chunksFor(
  encoder: Encoder,
  calibration: CalibrationInput,
  options: SelectOptions,
): Promise<Chunk[]> {
  const { architecture, tokenizer } = encoder
  const { maxTokens = 512, signal, chunkTokens } = options
  const packing = { architecture, tokenizer, maxTokens, signal }
  return [
    ...chunksOf(await packCalibration(calibration, packing), architecture.width, false, chunkTokens),
    ...chunksOf(await packNull(options.null, packing), architecture.width, true, chunkTokens),
  ]
}

async function openJournal(
  { encoder, chunks, projection }: Omit<Subject, 'journal'>,
  options: SelectOptions,
  settings: Settings,
): Promise<Journal | undefined> {
  if (options.journal === undefined) return undefined
  const { precision, checkpoint, device } = encoder
  // where it runs too: every processor rounds in its own way, and a search goes on with the same measurements or not at all
  const processor = device === 'cpu' ? native().describe().isa : device
  const subject = {
    model: await modelIdentity(checkpoint),
    calibration: calibrationIdentity(chunks, projection),
    options: JSON.stringify({ ...settings, target: options.target, precision, processor }),
  }
  return Journal.open(options.journal, subject, chunks.length, options.resume ?? false)
}

async function search(
  { encoder, chunks, projection, journal }: Subject,
  options: SelectOptions,
  settings: Settings,
  reached: MethodOptions['reached'],
): Promise<Selection> {
  const { engine, architecture } = encoder
  const { cacheBytes, signal } = options
  const dense = Plan.dense(blocksOf(architecture))
  const none: Work = { executed: 0, naive: 0 }
  options.onProgress?.({ phase: 'dense', fraction: 0, plan: dense, D: undefined, work: none })

  const { method, metric } = settings
  const common = { engine, cacheBytes, signal }
  const evaluators: Evaluator[] = []
  const evaluate = async (
    name: string,
    measured: Pick<Subject, 'chunks' | 'projection'> & { metric: Metric },
  ): Promise<Evaluator> => {
    const evaluator = await Evaluator.create({ ...common, ...measured, memo: journal?.memo(name) })
    evaluators.push(evaluator)
    return evaluator
  }
  /** The encoder's own output on the prompts alone, which is all that FinerCut and LaCo look at. */
  const evaluateOutput = (metric: Metric): Promise<Evaluator> => {
    const prompts = chunks.filter(({ isNull }) => !isNull)
    return evaluate('output', { chunks: prompts, projection: undefined, metric })
  }
  const work = (): Work => evaluators.map((evaluator) => evaluator.work).reduce(sum, none)
  const methodOptions: MethodOptions = {
    ...settings,
    reached,
    signal,
    all: options.fullTrace ?? false,
    onProgress: (progress) =>
      options.onProgress?.({ ...progress, fraction: fractionOf(progress, encoder, options), work: work() }),
  }
  try {
    const judge = await evaluate('D', { chunks, projection, metric })
    const choose: Record<Method, () => Promise<Chosen>> = {
      skrr: () => skrrMethod(judge, methodOptions),
      paper: () => beamMethod(judge, methodOptions),
      finercut: async () => beamMethod(judge, methodOptions, await evaluateOutput(metric)),
      shortgpt: () => shortGptMethod(judge, methodOptions),
      laco: async () => lacoMethod(judge, methodOptions, await evaluateOutput('cosine')),
    }
    const chosen = await choose[method]()
    const { compensate: rank } = settings
    const whole = rank === 0 ? chosen : await compensated(judge, chosen, rank, options, work)
    return await conclude(judge, whole, options, settings, work)
  } finally {
    for (const evaluator of evaluators) evaluator.dispose()
  }
}

/** The last phase: the chosen plan with a compensation, where that earns its place. */
async function compensated(
  judge: Evaluator,
  chosen: Chosen,
  rank: number,
  { onProgress }: SelectOptions,
  work: () => Work,
): Promise<Chosen> {
  const D = await judge.discrepancy(chosen.plan)
  const { plan, trace } = await compensate(judge, chosen.plan, rank, (done, of) =>
    onProgress?.({ phase: 'compensate', fraction: done / of, plan: chosen.plan, D, work: work() }),
  )
  return { ...chosen, plan, trace: { ...chosen.trace, compensation: trace } }
}

async function conclude(
  judge: Evaluator,
  chosen: Chosen,
  options: SelectOptions,
  settings: Settings,
  work: () => Work,
): Promise<Selection> {
  const { architecture, chunks } = judge
  const searched = work()
  const D = await judge.discrepancy(chosen.plan)
  const norms = await judge.norms(chosen.plan)
  const { method, metric, beams, dedup, reuse, reuseOrder, joint } = settings
  const projection = options.projection !== undefined
  // what the plan was chosen by, and nothing that another run of the same search would write otherwise
  const plan = chosen.plan.with({
    fingerprint: fingerprint(architecture),
    provenance: {
      method,
      target: { ...options.target },
      metric,
      projection,
      ...(!['shortgpt', 'laco'].includes(method) && { beams, dedup }),
      ...(method === 'skrr' ? { joint } : { reuse: reuse ? reuseOrder : 'none' }),
      ...(chosen.plan.compensation && { compensation: provenanceOf(chosen.trace.compensation!) }),
      tokens: chunks.reduce((total, { tokens }) => total + tokens, 0),
      skips: chosen.skips,
      D: { ...D },
    },
  })
  return {
    plan,
    D,
    relative: {
      calibration: D.calibration / norms.calibration.dense,
      null: D.null / norms.null.dense,
    },
    nullNorm: Math.sqrt(norms.null.squares / norms.null.dense),
    work: searched,
    cachePeak: judge.memory.cachePeak,
    trace: {
      method,
      metric,
      projection,
      ...chosen.trace,
      D: D.total,
      D_calibration: D.calibration,
      D_null: D.null,
      work: searched,
    },
  }
}

const sum = (a: Work, b: Work): Work => ({
  executed: a.executed + b.executed,
  naive: a.naive + b.naive,
})

/** Steps done of those it will take, the average sub-block's weight assumed of those to come. */
function fractionOf(
  { phase, step, plan }: MethodProgress,
  { architecture, precision }: Encoder,
  { target }: SelectOptions,
): number | undefined {
  if (phase === 'refine') return undefined
  if (phase === 'reuse') return Math.min(1, step / Math.max(1, plan.skipped().length + step))
  if ('skipCount' in target) return Math.min(1, step / target.skipCount)
  const blocks = blocksOf(architecture)
  const dense = weightBytes(Plan.dense(blocks), architecture, precision)
  const average = (dense - fixedBytes(architecture, precision)) / subBlockCount(architecture)
  const remove = dense - ('sparsity' in target ? (1 - target.sparsity) * dense : target.bytes)
  return Math.min(1, step / Math.max(1, Math.ceil(remove / average)))
}
