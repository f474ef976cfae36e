import { inspect, type InspectOptions } from 'node:util'
import { openCheckpoint } from './checkpoint/open.js'
import type { Checkpoint } from './checkpoint/types.js'
import { InputError, SkrrError } from './errors.js'
import { familyOf } from './families/index.js'
import { type Architecture } from './model/architecture.js'
import { blocksOf } from './model/parameters.js'
import { estimateMemory, totalled, type EstimateOptions, type MemoryUse } from './native/estimate.js'
import { asStored, checkPlanFits } from './checkpoint/fits.js'
import {
  checkInput,
  checkOptions,
  checkPlan,
  type EncodeOptions,
  type EncoderInput,
  type LoadOptions,
  type LoadProgress,
  type SetPlanOptions,
} from './options.js'
import { runJob, type DeviceName, type OutputType } from './native/addon.js'
import { pickDevice } from './native/device.js'
import { Engine } from './native/engine.js'
import type { LoadedPlan } from './native/loaded-plan.js'
import { loadPlan, readPlan } from './plan/file.js'
import { fingerprint } from './model/fingerprint.js'
import { checkDepth, resolveOutputs, type ResolvedOutputs } from './model/outputs.js'
import { Plan } from './plan/plan.js'
import { planInWords } from './plan/words.js'
import type { Precision } from './model/precision.js'
import { reporting, type Reports } from './io/reports.js'
import { precisionsInWords } from './native/precision.js'
import { microBatches } from './native/micro-batches.js'
import { outputsOf, resultsOf } from './native/results.js'
import { packInput, type PackedInput } from './prompts/input.js'
import { positionRules } from './prompts/positions.js'
import { tokenizerFor } from './prompts/tokenizer/fits.js'
import { TokenizerThread } from './prompts/tokenizer/thread.js'

/** Elements of a result: bf16 and f16 come as their bits. */
export type Elements<T extends OutputType> = T extends 'f32' ? Float32Array : Uint16Array

export interface Encoded<T extends OutputType = OutputType> {
  /** [batch, tokens, width], row-major: the first state asked for, or all of them joined. */
  readonly embeddings: Elements<T>
  readonly shape: readonly [batch: number, tokens: number, width: number]
  /** Each state as `embeddings`, in the order asked for; joined ones are one. */
  readonly states: readonly Elements<T>[]
  /** [batch, width]; where `outputs` asks for it. */
  readonly pooled?: { readonly data: Elements<T>; readonly shape: readonly [batch: number, width: number] }
  /** [batch, tokens]: as the pipeline hands it to its denoiser. */
  readonly attentionMask: Int32Array
  /** Per prompt: whether it was longer than the limit and lost its end. */
  readonly truncated: readonly boolean[]
}

/**
 * A text encoder under a plan.
 *
 * The path of a prompt: tokens (tokenizer/) -> packed rows (prompts/batch.ts) -> rows of the embedding table -> the layer table's
 * sub-blocks in order -> final norm (engine/encoder.cpp) -> embeddings.
 */
export class Encoder {
  /** What calls run under. */
  #loaded: LoadedPlan
  readonly #disposing = new AbortController()
  #disposed: Promise<number> | undefined
  /** Calls of encode() that have not settled: their weights must stay. */
  readonly #encoding = new Set<Promise<Encoded>>()
  /** Plan switches happen one after the other. */
  #switching: Promise<void> = Promise.resolve()

  private constructor(
    /** @internal The search of plans works on its states. */
    readonly engine: Engine,
    /** @internal */
    readonly tokenizer: TokenizerThread | undefined,
    /** What calls give that do not say; only the blocks that it needs are loaded. */
    private readonly outputs: ResolvedOutputs,
    loaded: LoadedPlan,
  ) {
    this.#loaded = loaded
  }

  /**
   * Opens a checkpoint (Hugging Face or diffusers folder, or a single .safetensors) and loads what the plan uses.
   * @throws CheckpointError, PlanError, TokenizerError; the signal's reason when aborted; what onProgress threw. Nothing stays
   * loaded then.
   */
  static async load(path: string, given: LoadOptions = {}): Promise<Encoder> {
    const options = checkOptions('load', given)
    return await reporting(options, (reports) => Encoder.#load(path, options, reports))
  }

  static async #load(path: string, options: LoadOptions, reports: LoadReports): Promise<Encoder> {
    const { signal } = reports
    const checkpoint = await openCheckpoint(path, {
      textEncoder: options.textEncoder,
      signal: options.signal,
    })
    const plan = await resolvePlan(options.plan, checkpoint)
    const outputs = resolveOutputs(options.outputs ?? {}, checkpoint.architecture)
    const projected = outputs.pooled?.project
    const tokenizerPath = options.tokenizer ?? checkpoint.tokenizerPath

    const engine = await Engine.open(checkpoint, { ...options, projected, signal }, plan)
    let tokenizer: TokenizerThread | undefined
    try {
      tokenizer = await openTokenizer(tokenizerPath, signal)
      const loaded = await engine.loadPlan(plan, [signal], reports, outputs.depth)
      return new Encoder(engine, tokenizer, outputs, loaded)
    } catch (error) {
      await engine.native.dispose().finally(() => tokenizer?.close())
      throw error
    }
  }

  /** What load() would take on that device, before anything is loaded. @throws ERR_DEVICE where it is missing */
  static async estimate(path: string, given: LoadOptions & EstimateOptions = {}): Promise<MemoryUse> {
    const options = checkOptions('estimate', given)
    const checkpoint = await openCheckpoint(path, {
      textEncoder: options.textEncoder,
      signal: options.signal,
    })
    const plan = await resolvePlan(options.plan, checkpoint)
    const { device } = await pickDevice(options.device, { precision: options.precision, checkpoint, plan })
    const { depth, pooled } = resolveOutputs(options.outputs ?? {}, checkpoint.architecture)
    const needed = plan.upTo(depth)
    return await estimateMemory(checkpoint, needed, { ...options, device, projected: pooled?.project })
  }

  /** @internal */
  get checkpoint(): Checkpoint {
    return this.engine.checkpoint
  }

  get architecture(): Architecture {
    return this.checkpoint.architecture
  }

  get device(): DeviceName {
    return this.engine.device.name
  }

  /** Why it runs there, where `auto` left that to us. */
  get deviceReason(): string | undefined {
    return this.engine.deviceReason
  }

  /** Of the sub-blocks `plan` names none for; it names those of packed weights that are in another. */
  get precision(): Precision {
    return this.engine.precision
  }

  get plan(): Plan {
    return this.#loaded.plan
  }

  /** Bytes held now, by kind. */
  get memory(): MemoryUse {
    if (this.#disposed) return totalled({ weights: 0, embedding: 0, workspace: 0, tokenizer: 0 })
    const { embedding, workspace, weights: slots } = this.engine.native.memory()
    const weights = slots + this.#loaded.bytes
    return totalled({ weights, embedding, workspace, tokenizer: this.tokenizer?.memory ?? 0 })
  }

  /**
   * Runs under another plan from now on; calls made before keep theirs. Immediate where all its weights are loaded; what is
   * missing is loaded. Weights the plan does not use stay for the next switch, unless `release` is set; a sub-block that two
   * plans hold in two precisions is there twice meanwhile.
   * @throws PlanError, InputError; ERR_DISPOSED; the signal's reason when aborted; what onProgress threw
   */
  async setPlan(plan: Plan | string, options: SetPlanOptions = {}): Promise<void> {
    const checked = checkOptions('setPlan', options)
    const wanted = checkPlan(plan)
    const turn = this.#switching.then(async () => {
      const resolved = await resolvePlan(wanted, this.checkpoint)
      await reporting(checked, (reports) => this.#switch(resolved, checked.release ?? false, reports))
    })
    this.#switching = turn.catch(() => undefined)
    await turn
  }

  async #switch(plan: Plan, release: boolean, reports: LoadReports): Promise<void> {
    this.#check()
    const signals = [reports.signal, this.#disposing.signal]
    const loading = this.engine.loadPlan(plan, signals, reports, this.outputs.depth)
    const next = await loading.catch(async (error: unknown) => {
      if (release) await this.#trimAbandoned().catch(() => undefined)
      throw error
    })
    const last = this.#loaded
    this.#loaded = next
    const ended = Promise.allSettled(this.#encoding).then(() => last.dispose()) // calls made before run under it
    if (!release) return
    await ended
    this.#check()
    await this.engine.native.trim()
  }

  /**
   * Frees what an aborted load leaves. It may have ended before the abort, and then its plan holds its weights until its answer
   * comes, which is before the first trim's; the second finds them free.
   */
  async #trimAbandoned(): Promise<void> {
    await this.engine.native.trim()
    await this.engine.native.trim()
  }

  /**
   * Embeddings of a batch. Calls may overlap; they run in the order they were made.
   * @throws InputError, TokenizerError; ERR_DISPOSED; the signal's reason when aborted
   */
  async encode<T extends OutputType = 'f32'>(
    input: EncoderInput,
    options: EncodeOptions<T> = {},
  ): Promise<Encoded<T>> {
    const checked = checkOptions('encode', options) as EncodeOptions<T>
    const call = this.#encode(checkInput(input), checked, this.#loaded)
    this.#encoding.add(call)
    try {
      return await call
    } finally {
      this.#encoding.delete(call)
    }
  }

  async #encode<T extends OutputType>(
    input: EncoderInput,
    options: EncodeOptions<T>,
    loaded: LoadedPlan,
  ): Promise<Encoded<T>> {
    this.#check()
    const outputs = this.#outputsOf(options)
    const { batch, truncated } = await this.#pack(input, options)
    const results = resultsOf(outputs, this.architecture, batch, options.output ?? 'f32')
    for (const part of microBatches(batch, this.architecture.width)) {
      await runJob([options.signal, this.#disposing.signal], (cancel) =>
        this.engine.native.encode(part.batch, loaded.native, outputsOf(results, part), cancel),
      )
    }
    const states = results.states as Elements<T>[]
    const pooled = results.pooled as Encoded<T>['pooled']
    return {
      embeddings: states[0]!,
      shape: results.shape,
      states,
      ...(pooled && { pooled }),
      attentionMask: batch.attentionMask,
      truncated,
    }
  }

  /**
   * Ends work that runs or waits (it rejects with ERR_DISPOSED) and frees everything.
   * @returns the bytes freed of weights and workspace, the same promise for every call
   */
  dispose(): Promise<number> {
    this.#disposing.abort(new SkrrError('ERR_DISPOSED', { message: 'the encoder was disposed' }))
    this.#disposed ??= this.#free()
    return this.#disposed
  }

  async #free(): Promise<number> {
    const { bytes } = this.#loaded
    this.#loaded.dispose()
    return await this.engine.native
      .dispose()
      .then((freed) => freed + bytes)
      .finally(() => this.tokenizer?.close())
  }

  /** What a person wants to see of it. */
  toJSON(): Record<string, unknown> {
    const { device, architecture, plan, memory } = this
    const precision = precisionsInWords(plan, this.checkpoint, this.precision)
    return { device, precision, architecture: fingerprint(architecture), plan: planInWords(plan), memory }
  }

  [inspect.custom](_depth: number, options: InspectOptions): string {
    return `Encoder ${inspect(this.toJSON(), options)}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }

  #check(): void {
    this.#disposing.signal.throwIfAborted()
  }

  #outputsOf({ outputs }: EncodeOptions): ResolvedOutputs {
    if (outputs === undefined) return this.outputs
    const wanted = resolveOutputs(outputs, this.architecture)
    checkDepth(wanted, this.outputs.depth)
    if (wanted.pooled?.project !== true || this.outputs.pooled?.project === true) return wanted
    const expected = 'false, unless the outputs given to load() ask for projected rows'
    throw new InputError({ field: 'outputs.pooled.project', found: 'true', expected })
  }

  async #pack(input: EncoderInput, options: EncodeOptions): Promise<PackedInput> {
    const { input: tokens, width } = this.architecture
    const packing = packInput(input, options, {
      vocab: tokens.vocab,
      width,
      positions: positionRules(this.architecture),
      masked: tokens.masked,
      padId: this.tokenizer?.padId ?? familyOf(this.architecture).padId,
      tokenizer: () => tokenizerFor(this.checkpoint, this.tokenizer),
    })
    return await this.#orDisposed(packing)
  }

  /** What dispose() ends rejects with ERR_DISPOSED, whatever ended first. */
  async #orDisposed<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } finally {
      this.#check()
    }
  }
}

type LoadReports = Reports<[LoadProgress]>

const openTokenizer = async (
  path: string | undefined,
  signal?: AbortSignal,
): Promise<TokenizerThread | undefined> =>
  path === undefined ? undefined : TokenizerThread.open(path, signal)

/**
 * The plan a caller named, the one the checkpoint was exported under, or dense; checked against the model, and with the precisions
 * of packed weights that it does not tell.
 */
export async function resolvePlan(plan: Plan | string | undefined, checkpoint: Checkpoint): Promise<Plan> {
  const { architecture, planPath } = checkpoint
  if (plan === undefined && planPath !== undefined) {
    const exported = await readPlan(planPath)
    checkPlanFits(exported, checkpoint, planPath)
    return asStored(exported, checkpoint)
  }
  let resolved: Plan
  if (plan instanceof Plan) resolved = plan
  else if (plan !== undefined) resolved = await loadPlan(plan, architecture)
  else resolved = Plan.dense(blocksOf(architecture))
  checkPlanFits(resolved, checkpoint)
  return asStored(resolved, checkpoint)
}
