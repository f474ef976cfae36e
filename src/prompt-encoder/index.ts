import { show } from '../io/show.js'
import { InputError, SkrrError } from '../errors.js'
import { Encoder } from '../encoder.js'
import { unlessAborted } from '../io/abort.js'
import { totalled, type MemoryUse } from '../native/estimate.js'
import { blocksOf } from '../model/parameters.js'
import { checkArguments } from '../pipelines/arguments.js'
import { compose, type Outputs, type SidesOfSlots } from '../pipelines/compose.js'
import { sidesOf, type Side } from '../pipelines/sides.js'
import type { Arguments, Row, SideOfSlot } from '../pipelines/types.js'
import { encodeRows, outputsOfSlot } from './encode.js'
import { rowsOf } from '../prompts/rows.js'
import { TokenizerThread } from '../prompts/tokenizer/thread.js'
import { locatePipeline, type Located, type Place } from './locate.js'
import {
  checkCall,
  checkLoad,
  checkRequest,
  type PipelineSource,
  type PromptEncoderOptions,
} from './options.js'

export type { PipelineSource, PromptEncoderOptions } from './options.js'

export interface PipelineEstimate {
  /** By slot, what each takes while it is loaded. */
  readonly slots: Readonly<Record<string, MemoryUse>>
  /** Bytes at the peak. */
  readonly total: number
  /** Whether all encoders are held at once, or each is loaded for a call and freed again, since all do not fit into maxMemory. */
  readonly held: 'together' | 'in turn'
}

/**
 * The encoders of a pipeline of diffusers as one: prompts in, the denoiser's tensors out, under diffusers' names, in its shapes and its
 * order.
 */
export class PromptEncoder {
  readonly #located: Located
  readonly #options: PromptEncoderOptions
  readonly #estimate: PipelineEstimate
  readonly #tokenizers: ReadonlyMap<string, TokenizerThread>
  readonly #encoders: ReadonlyMap<string, Encoder>
  readonly #disposing = new AbortController()
  /** Calls run one after the other: encoders in turn share one budget. */
  #last: Promise<unknown> = Promise.resolve()

  private constructor(
    located: Located,
    options: PromptEncoderOptions,
    estimate: PipelineEstimate,
    tokenizers: ReadonlyMap<string, TokenizerThread>,
    encoders: ReadonlyMap<string, Encoder>,
  ) {
    this.#located = located
    this.#options = options
    this.#estimate = estimate
    this.#tokenizers = tokenizers
    this.#encoders = encoders
  }

  /**
   * Opens a folder of diffusers, encoders by slot, or one file that is a part of the pipeline.
   * @throws InputError for a slot that is missing, or encoders that do not fit into maxMemory; what Encoder.load throws
   */
  static async load(source: PipelineSource, given: PromptEncoderOptions = {}): Promise<PromptEncoder> {
    const [checked, options] = checkLoad(source, given)
    const located = await locatePipeline(checked, options)
    const estimate = await estimateOf(located, options)
    const tokenizers = new Map<string, TokenizerThread>()
    const encoders = new Map<string, Encoder>()
    try {
      for (const place of located.places) {
        tokenizers.set(place.name, await TokenizerThread.open(place.tokenizer, options.signal))
        if (estimate.held === 'together' && place.checkpoint) {
          encoders.set(place.name, await loadEncoder(place, options, options.signal))
        }
      }
      return new PromptEncoder(located, options, estimate, tokenizers, encoders)
    } catch (error) {
      await closeAll(tokenizers, encoders)
      throw error
    }
  }

  /** What load() would take, before anything is loaded. */
  static async estimate(source: PipelineSource, given: PromptEncoderOptions = {}): Promise<PipelineEstimate> {
    const [checked, options] = checkLoad(source, given)
    return await estimateOf(await locatePipeline(checked, options), options)
  }

  estimate(): PipelineEstimate {
    return this.#estimate
  }

  /** The names of its encoders. */
  get slots(): readonly string[] {
    return this.#located.places.map(({ name }) => name)
  }

  /** Bytes held now, of all encoders; tokenizers included. */
  get memory(): MemoryUse {
    const sum = { weights: 0, embedding: 0, workspace: 0, tokenizer: 0 }
    for (const { memory } of this.#encoders.values()) {
      sum.weights += memory.weights
      sum.embedding += memory.embedding
      sum.workspace += memory.workspace
    }
    for (const tokenizer of this.#tokenizers.values()) sum.tokenizer += tokenizer.memory
    return totalled(sum)
  }

  /**
   * The tensors of prompts.
   * @param request prompts, or diffusers' arguments: prompt, prompt_2, negative_prompt, max_sequence_length, clip_skip,
   * num_images_per_prompt, ...
   * @throws InputError, TokenizerError; ERR_DISPOSED; the signal's reason when aborted
   */
  async encode(
    request: string | readonly string[] | Arguments,
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<Outputs> {
    const { signal } = checkCall(options)
    this.#disposing.signal.throwIfAborted()
    const args = checkRequest(request)
    checkArguments(args)
    const call = this.#last.then(() => this.#encode(args, signal))
    this.#last = call.catch(() => undefined)
    return await unlessAborted(unlessAborted(call, signal), this.#disposing.signal)
  }

  async #encode(args: Arguments, signal?: AbortSignal): Promise<Outputs> {
    const { data, index, denoiser } = this.#located
    const sides = sidesOf(data, args, index)
    const encoded = sides.map((): Record<string, SideOfSlot> => ({}))
    for (const place of this.#located.places) {
      const rows = await Promise.all(sides.map((side) => this.#rows(place, side, signal)))
      const results = await this.#run(place, sides, rows, signal)
      for (const [i, result] of results.entries()) encoded[i]![place.name] = result
    }
    const [positive, negative] = encoded as [SidesOfSlots, SidesOfSlots?]
    const { joint_attention_dim: width } = args
    const known = width === undefined ? denoiser : { ...denoiser, joint_attention_dim: width }
    return compose(data, positive, negative, { args, index, denoiser: known })
  }

  #rows({ name, slot }: Place, side: Side, signal?: AbortSignal): Promise<(Row | undefined)[]> {
    this.#disposing.signal.throwIfAborted()
    return rowsOf(slot, name, this.#tokenizers.get(name)!, side, this.#located.index, signal)
  }

  /** Both sides, with the encoder loaded for them where it is not held. */
  async #run(
    place: Place,
    sides: readonly Side[],
    rows: readonly (Row | undefined)[][],
    signal?: AbortSignal,
  ): Promise<SideOfSlot[]> {
    if (place.checkpoint === undefined) return rows.map((each) => ({ rows: each as Row[], states: [] }))
    const held = this.#encoders.get(place.name)
    const encoder = held ?? (await loadEncoder(place, this.#options, signal))
    try {
      const results: SideOfSlot[] = []
      for (const [i, side] of sides.entries()) {
        results.push(await encodeRows(encoder, place.slot, rows[i]!, side, signal))
      }
      return results
    } finally {
      if (held === undefined) await encoder.dispose()
    }
  }

  /** Ends calls that run or wait (they reject with ERR_DISPOSED) and frees everything. */
  async dispose(): Promise<void> {
    this.#disposing.abort(new SkrrError('ERR_DISPOSED', { message: 'the encoder was disposed' }))
    await closeAll(this.#tokenizers, this.#encoders)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.dispose()
  }
}

async function closeAll(
  tokenizers: ReadonlyMap<string, TokenizerThread>,
  encoders: ReadonlyMap<string, Encoder>,
): Promise<void> {
  await Promise.all([
    ...[...encoders.values()].map((encoder) => encoder.dispose()),
    ...[...tokenizers.values()].map((tokenizer) => tokenizer.close()),
  ])
}

function loadOptionsOf({ name, slot, checkpoint, tokenizer }: Place, options: PromptEncoderOptions) {
  const { device, threads, plans } = options
  const precision = typeof options.precision === 'object' ? options.precision[name] : options.precision
  const outputs = outputsOfSlot(slot, blocksOf(checkpoint!.architecture), { args: {}, negative: true })
  return { device, threads, precision, plan: plans?.[name], tokenizer, outputs }
}

const loadEncoder = (place: Place, options: PromptEncoderOptions, signal?: AbortSignal): Promise<Encoder> =>
  Encoder.load(place.path, { ...loadOptionsOf(place, options), signal })

async function estimateOf({ places }: Located, options: PromptEncoderOptions): Promise<PipelineEstimate> {
  const limit = bytesOf(options.maxMemory)
  const slots: Record<string, MemoryUse> = {}
  for (const place of places) {
    if (place.checkpoint)
      slots[place.name] = await Encoder.estimate(place.path, loadOptionsOf(place, options))
  }
  const totals = Object.values(slots).map(({ total }) => total)
  const together = totals.reduce((sum, total) => sum + total, 0)
  if (together <= limit) return { slots, total: together, held: 'together' }
  const largest = Math.max(...totals)
  if (largest <= limit) return { slots, total: largest, held: 'in turn' }
  const [name] = Object.entries(slots).find(([, { total }]) => total === largest)!
  throw new InputError({
    field: 'maxMemory',
    found: `${limit} bytes`,
    expected: `at least ${largest}, which ${name} takes alone`,
    hint: 'A lower precision or a plan takes less',
  })
}

const UNITS: Readonly<Record<string, number>> = {
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
}

function bytesOf(given: number | string | undefined): number {
  if (given === undefined) return Infinity
  const found = typeof given === 'string' ? /^([0-9]+(?:\.[0-9]+)?)\s*([KMG]i?B)$/i.exec(given.trim()) : null
  const bytes = found ? Number(found[1]) * UNITS[found[2]!.toUpperCase()]! : Number(given)
  if (Number.isFinite(bytes) && bytes > 0) return Math.floor(bytes)
  throw new InputError({
    field: 'maxMemory',
    found: show(given),
    expected: "bytes, or a text such as '3GB'",
  })
}
