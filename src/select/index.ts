import { Encoder } from '../encoder.js'
import { modelIdentity } from '../checkpoint/identity.js'
import { blocksOf } from '../model/parameters.js'
import { checkArgument, instance } from '../io/arguments.js'
import { checkBatch } from '../options.js'
import { reporting } from '../io/reports.js'
import { native, type NativeMapLayer } from '../native/addon.js'
import type { LoadedPlan } from '../native/loaded-plan.js'
import { checkPlanFits } from '../checkpoint/fits.js'
import { Plan } from '../plan/plan.js'
import {
  chunksOf,
  packCalibration,
  packNull,
  type CalibrationInput,
  type Chunk,
} from './measure/calibration.js'
import { Evaluators, type EvaluatorsOptions } from './measure/evaluators.js'
import { calibrationIdentity } from './measure/identity.js'
import { Journal } from './measure/journal.js'
import { checkedLayers, readProjection } from './measure/projection.js'
import { targetReached } from './measure/target.js'
import { checkCompensable, compensate } from './methods/compensate.js'
import { searches } from './methods/index.js'
import type { Chosen, MethodOptions } from './methods/method.js'
import { fractionOf } from './progress.js'
import { conclude } from './selection.js'
import type { Selection } from './result.js'
import { checkSelectOptions, resolveSettings, type SelectOptions, type Settings } from './settings.js'

export type { Selection } from './result.js'
export type { SelectOptions, SelectProgress } from './settings.js'
export type { CalibrationInput } from './measure/calibration.js'
export type { Target } from './measure/target.js'
export type { Method } from './methods/method.js'
export type { Trace } from './methods/trace.js'
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
 * @throws InputError; PlanError for a checkpoint without all weights; OutputError for a journal; the signal's reason; what onProgress or
 * onResult threw
 */
export async function selectPlan(
  encoder: Encoder,
  calibration: CalibrationInput,
  given: SelectOptions,
): Promise<Selection> {
  checkArgument(instance(Encoder, 'an Encoder'), encoder, 'encoder')
  checkBatch(calibration, 'calibration')
  const options = checkSelectOptions(given)
  if (options.null !== undefined) checkBatch(options.null, 'null')
  return await reporting(options, (reports) =>
    searchFrom(encoder, calibration, { ...options, signal: reports.signal, onProgress: reports.report }, () =>
      reports.settled(),
    ),
  )
}
/** With options whose onProgress does not throw: it aborts the signal, and `settled` says why. */
async function searchFrom(
  encoder: Encoder,
  calibration: CalibrationInput,
  options: SelectOptions,
  settled: () => Promise<void>,
): Promise<Selection> {
  const { architecture, engine } = encoder
  checkPlanFits(Plan.dense(blocksOf(architecture)), encoder.checkpoint)
  const settings = resolveSettings(options)
  const reached = targetReached(options.target, architecture, encoder.precision, settings.compensate)
  const projection =
    typeof options.projection === 'string'
      ? await readProjection(options.projection, architecture.width)
      : options.projection && checkedLayers(options.projection, architecture.width)
  const chunks = await chunksFor(encoder, calibration, options)
  if (settings.compensate > 0) checkCompensable(settings.compensate, architecture, chunks)
  const journal = await openJournal({ encoder, chunks, projection }, options, settings)
  let dense: LoadedPlan | undefined
  try {
    dense = await engine.loadPlan(Plan.dense(blocksOf(architecture)), [options.signal])
    const selection = await search({ encoder, chunks, projection, journal }, options, settings, reached)
    await settled()
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
  const { architecture, checkpoint, tokenizer } = encoder
  const { maxTokens = 512, signal, chunkTokens } = options
  const packing = { checkpoint, tokenizer, maxTokens, signal }
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
  const { cacheBytes, signal, target, onProgress } = options
  const { method, metric, compensate: rank } = settings
  const dense = Plan.dense(blocksOf(architecture))
  onProgress?.({ phase: 'dense', fraction: 0, plan: dense, D: undefined, work: { executed: 0, naive: 0 } })
  const memo: EvaluatorsOptions['memo'] = (name) => journal?.memo(name)
  const evaluators = await Evaluators.create({ engine, chunks, projection, metric, cacheBytes, signal, memo })
  try {
    const chosen = await searches[method](evaluators, {
      ...settings,
      reached,
      signal,
      all: options.fullTrace ?? false,
      onProgress: (progress) => {
        const fraction = fractionOf(progress, engine, target)
        onProgress?.({ ...progress, fraction, work: evaluators.work })
      },
    })
    const whole = rank === 0 ? chosen : await compensated(evaluators, chosen, rank, options)
    return await conclude(evaluators, whole, options, settings)
  } finally {
    evaluators.dispose()
  }
}

/** The last phase: the chosen plan with a compensation, where that earns its place. */
async function compensated(
  evaluators: Evaluators,
  chosen: Chosen,
  rank: number,
  { onProgress }: SelectOptions,
): Promise<Chosen> {
  const { judge } = evaluators
  const D = await judge.discrepancy(chosen.plan)
  const { plan, trace } = await compensate(judge, chosen.plan, rank, (done, of) =>
    onProgress?.({ phase: 'compensate', fraction: done / of, plan: chosen.plan, D, work: evaluators.work }),
  )
  return { ...chosen, plan, trace: { ...chosen.trace, compensation: trace } }
}
