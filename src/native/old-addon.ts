import {
  attentionOf,
  blocksOf,
  feedForwardOf,
  subBlockCount,
  type Architecture,
} from '../model/architecture.js'
import { PRECISIONS, type Precision } from '../model/precision.js'
import type {
  Binding,
  CancelToken,
  NativeBatch,
  NativeBench,
  NativeBenchRequest,
  NativeComparison,
  NativeEncoder,
  NativeFeatures,
  NativeHandle,
  NativeLoadedPlan,
  NativeMap,
  NativeMapLayer,
  NativeMapSpec,
  NativeOptions,
  NativePlan,
  NativeProgress,
  NativeSpec,
  NativeStates,
  NativeTensor,
  OutputType,
} from './addon.js'

/**
 * The surface of addon.ts over an addon that does not load plans yet: there slots, scales and compensation are handed over one by
 * one, slots are numbered otherwise, and a slot is kept by who names it.
 */

type OldTensor = Omit<NativeTensor, 'encoding'> & { dtype: string }

interface OldSpec {
  geometry: OldGeometry
  files: string[]
  fixed: Record<string, OldTensor>
  subBlocks: Record<string, OldTensor>[]
}

/** The shape of an encoder whose sub-blocks of a kind are alike (engine/geometry.h). */
interface OldGeometry {
  family: 't5' | 'umt5'
  blocks: number
  width: number
  heads: number
  headDim: number
  ff: number
  vocab: number
  buckets: number
  maxDistance: number
  epsilon: number
  activation: string
  gated: boolean
  /** Every attention has its own table of distances. */
  biasPerBlock: boolean
}

interface OldOptions extends NativeOptions {
  precision: Precision
}

type Bytes = { weights: number; workspace: number }

export interface OldBinding extends Omit<Binding, 'open' | 'estimate' | 'bench'> {
  open(spec: OldSpec, options: OldOptions, cancel: CancelToken): Promise<OldEncoder>
  estimate(
    geometry: OldGeometry,
    slots: Int32Array,
    options: OldOptions,
    rank: number,
    tokens: number,
    longest: number,
  ): Bytes
  estimateCuda(
    geometry: OldGeometry,
    subBlocks: Int32Array,
    options: Pick<NativeOptions, 'device'>,
    rank: number,
    tokens: number,
    longest: number,
  ): Promise<Bytes>
  bench(
    geometry: OldGeometry,
    options: OldOptions,
    request: NativeBenchRequest,
    cancel: CancelToken,
    onProgress: NativeProgress,
  ): Promise<NativeBench>
}

interface OldEncoder extends Pick<
  NativeEncoder,
  | 'copyPacked'
  | 'memory'
  | 'dispose'
  | 'begin'
  | 'compareStates'
  | 'compareFeatures'
  | 'newRegression'
  | 'addTo'
  | 'fit'
> {
  load(slots: Int32Array, cancel: CancelToken, onProgress?: NativeProgress): Promise<void>
  keepOnly(slots: Int32Array): Promise<void>
  encode(
    batch: NativeBatch,
    slots: Int32Array,
    scales: Float32Array,
    compensation: NativeHandle | undefined,
    output: Float32Array | Uint16Array,
    type: OutputType,
    cancel: CancelToken,
  ): Promise<void>
  loadCompensation(rank: number, down: Float32Array, up: Float32Array): Promise<NativeHandle>
  advance(
    states: NativeStates,
    slots: Int32Array,
    scales: Float32Array,
    from: number,
    to: number,
    cancel: CancelToken,
  ): Promise<NativeStates>
  loadProjection(layers: readonly NativeMapLayer[]): Promise<NativeMap>
  features(
    states: NativeStates,
    compensation: NativeHandle | undefined,
    projection: NativeMap | undefined,
    cancel: CancelToken,
  ): Promise<NativeFeatures>
  measure(
    states: NativeStates,
    slots: Int32Array,
    scales: Float32Array,
    from: number,
    compensation: NativeHandle | undefined,
    projection: NativeMap | undefined,
    reference: NativeFeatures,
    cancel: CancelToken,
  ): Promise<NativeComparison>
}

/** What its options want, though every slot that is used names its precision. */
const ANY: Precision = 'f32'

export function asPlansAreLoaded(old: OldBinding): Binding {
  const { CancelToken } = old
  return {
    CancelToken,
    describe: () => old.describe(),
    cudaLibraryPath: () => old.cudaLibraryPath(),
    async open(spec, options, cancel) {
      const encoder = await old.open(oldSpec(spec), { ...options, precision: ANY }, cancel)
      return new PlanLoader(encoder, subBlockCount(spec.architecture))
    },
    async estimate(architecture, options, slots, rank, tokens, longest) {
      const { device = 'cpu' } = options
      const geometry = oldGeometry(architecture)
      if (device === 'cpu') {
        const renamed = slots.map((slot) => oldSlot(slot, subBlockCount(architecture)))
        return old.estimate(geometry, renamed, { ...options, precision: ANY }, rank, tokens, longest)
      }
      return await old.estimateCuda(geometry, slots.map(subBlockOf), { device }, rank, tokens, longest)
    },
    async bench(architecture, options, request, cancel, onProgress) {
      // there the first table's precision is the encoder's own, whose slots are numbered as the sub-blocks
      const own = precisionOf(request.tables[0]!.slots.find((slot) => slot >= 0)!)
      const rename = (slot: number): number =>
        slot >= 0 && precisionOf(slot) === own ? subBlockOf(slot) : oldSlot(slot, subBlockCount(architecture))
      const tables = request.tables.map((table) => ({ ...table, slots: table.slots.map(rename) }))
      return await old.bench(
        oldGeometry(architecture),
        { ...options, precision: own },
        { ...request, tables },
        cancel,
        onProgress,
      )
    },
  }
}

const subBlockOf = (slot: number): number => Math.floor(slot / PRECISIONS.length)
const precisionOf = (slot: number): Precision => PRECISIONS[slot % PRECISIONS.length]!
/** As engine/layer_table.h numbers them, of `count` sub-blocks. */
const oldSlot = (slot: number, count: number): number =>
  slot < 0 ? slot : subBlockOf(slot) + count * (1 + (slot % PRECISIONS.length))

interface Held extends NativeLoadedPlan {
  readonly slots: Int32Array
  readonly scales: Float32Array
  readonly map: NativeHandle | undefined
}

const held = (plan: NativeLoadedPlan): Held => plan as Held

class PlanLoader implements NativeEncoder {
  /** How many loaded plans hold a slot. */
  readonly #leases = new Map<number, number>()
  /** Loaded by all the jobs that were queued until now. */
  readonly #loaded = new Set<number>()

  constructor(
    private readonly old: OldEncoder,
    private readonly count: number,
  ) {}

  async loadPlan(
    plan: NativePlan,
    cancel: CancelToken,
    onProgress?: NativeProgress,
  ): Promise<NativeLoadedPlan> {
    const slots = plan.slots.map((slot) => oldSlot(slot, this.count))
    const needed = [...new Set(slots)].filter((slot) => slot >= 0).sort((a, b) => a - b)
    const lease = (by: number): void => {
      for (const slot of needed) this.#leases.set(slot, (this.#leases.get(slot) ?? 0) + by)
    }
    lease(1)
    try {
      if (!needed.every((slot) => this.#loaded.has(slot))) {
        await this.old.load(Int32Array.from(needed), cancel, onProgress)
        for (const slot of needed) this.#loaded.add(slot)
      }
      const map = plan.map && (await this.#loadMap(plan.map))
      let disposed = false
      const dispose = (): void => {
        if (disposed) return
        disposed = true
        map?.dispose()
        lease(-1)
      }
      const loaded: Held = { slots, scales: plan.scales, map, bytes: map?.bytes ?? 0, dispose }
      return loaded
    } catch (error) {
      lease(-1)
      throw error
    }
  }

  async #loadMap({ layers }: NativeMapSpec): Promise<NativeHandle> {
    const [down, up] = layers as [NativeMapLayer, NativeMapLayer]
    return await this.old.loadCompensation(down.rows, down.weight, transposed(up))
  }

  async trim(): Promise<void> {
    for (const slot of this.#loaded) if (!this.#leases.get(slot)) this.#loaded.delete(slot)
    const kept = [...this.#leases].filter(([, leases]) => leases > 0).map(([slot]) => slot)
    await this.old.keepOnly(Int32Array.from(kept))
  }

  copyPacked: NativeEncoder['copyPacked'] = (slot, which, data, scales) =>
    this.old.copyPacked(oldSlot(slot, this.count), which, data, scales)

  encode: NativeEncoder['encode'] = (batch, plan, output, type, cancel) => {
    const { slots, scales, map } = held(plan)
    return this.old.encode(batch, slots, scales, map, output, type, cancel)
  }

  advance: NativeEncoder['advance'] = (states, plan, from, to, cancel) =>
    this.old.advance(states, held(plan).slots, held(plan).scales, from, to, cancel)

  loadMap: NativeEncoder['loadMap'] = ({ layers }) => this.old.loadProjection([...layers])

  features: NativeEncoder['features'] = (states, plan, projection, cancel) =>
    this.old.features(states, plan && held(plan).map, projection, cancel)

  measure: NativeEncoder['measure'] = (states, plan, from, projection, reference, cancel) => {
    const { slots, scales, map } = held(plan)
    return this.old.measure(states, slots, scales, from, map, projection, reference, cancel)
  }

  begin: NativeEncoder['begin'] = (batch, cancel) => this.old.begin(batch, cancel)
  compareStates: NativeEncoder['compareStates'] = (a, b) => this.old.compareStates(a, b)
  compareFeatures: NativeEncoder['compareFeatures'] = (a, b) => this.old.compareFeatures(a, b)
  newRegression: NativeEncoder['newRegression'] = () => this.old.newRegression()
  addTo: NativeEncoder['addTo'] = (...args) => this.old.addTo(...args)
  fit: NativeEncoder['fit'] = (...args) => this.old.fit(...args)
  memory: NativeEncoder['memory'] = () => this.old.memory()
  dispose: NativeEncoder['dispose'] = () => this.old.dispose()
}

/** W [rows, columns] as [columns, rows]. */
function transposed({ weight, rows, columns }: NativeMapLayer): Float32Array {
  const turned = new Float32Array(weight.length)
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) turned[c * rows + r] = weight[r * columns + c]!
  }
  return turned
}

const OLD_ROLES: Readonly<Record<string, string>> = {
  finalNorm: 'final_norm',
  distance: 'bias',
  gate: 'wi_0',
  down: 'wo',
  inScales: 'in_scales',
  outScales: 'out_scales',
}

/** A table that all attentions share was one of the fixed tensors. */
function oldSpec({ architecture, files, fixed, subBlocks }: NativeSpec): OldSpec {
  const geometry = oldGeometry(architecture)
  const up = geometry.gated ? 'wi_1' : 'wi'
  const renamed = (byRole: Record<string, NativeTensor>): Record<string, OldTensor> =>
    Object.fromEntries(
      Object.entries(byRole).map(([role, { encoding, ...tensor }]) => [
        role === 'up' ? up : (OLD_ROLES[role] ?? role),
        { ...tensor, dtype: encoding },
      ]),
    )
  const roles = subBlocks.map(renamed)
  const shared = geometry.biasPerBlock ? undefined : roles.find(({ bias }) => bias)?.bias
  if (shared === undefined) return { geometry, files, fixed: renamed(fixed), subBlocks: roles }
  for (const byRole of roles) delete byRole.bias
  return { geometry, files, fixed: { ...renamed(fixed), bias: shared }, subBlocks: roles }
}

function oldGeometry(a: Architecture): OldGeometry {
  const [attention, feedForward] = [attentionOf(a)!, feedForwardOf(a)!]
  const { count, max, shared = false } = attention.distance.buckets!
  return {
    family: shared ? 't5' : 'umt5',
    blocks: blocksOf(a),
    width: a.width,
    heads: attention.heads,
    headDim: attention.headDim,
    ff: feedForward.inner,
    vocab: a.input.vocab,
    buckets: count,
    maxDistance: max,
    epsilon: a.output.norm.epsilon,
    activation: feedForward.activation,
    gated: feedForward.gated,
    biasPerBlock: !shared,
  }
}
