import type { Architecture } from '../model/architecture.js'
import type { Precision } from '../model/precision.js'
import type { PackedSubBlock } from './packed.js'

/** Weight formats the engine reads, by their safetensors names. */
export type WeightDType = 'F32' | 'F16' | 'BF16' | 'F8_E4M3'

/**
 * A tensor that has been checked: it lies inside its file and has the size its shape says. It is aligned to its element
 * within the file's data section; where that section starts old files leave to chance, so read elements by copying.
 */
export interface TensorRef {
  /** Name in the file, which may differ from the canonical one. */
  readonly name: string
  readonly file: string
  /** Absolute byte offset in the file. */
  readonly offset: number
  readonly bytes: number
  readonly dtype: WeightDType
  readonly shape: readonly number[]
  /** Factor on every element (ComfyUI's scaled fp8 files carry one per matrix); absent means 1. */
  readonly scale?: number
}

/** An encoder found on disk: its architecture and where each tensor lies. No weight has been read. */
export interface Checkpoint {
  /** The path the user gave. */
  readonly path: string
  readonly architecture: Architecture
  /** By canonical name (model/architecture.ts). Sub-blocks may be absent in a checkpoint exported under a plan. */
  readonly tensors: ReadonlyMap<string, TensorRef>
  /** Sub-blocks whose matrices are packed; their norms are in `tensors`. Empty but for `export --precision int8` and int4. */
  readonly packed: ReadonlyMap<number, PackedSubBlock>
  /** What `export --precision` was asked for; absent elsewhere. */
  readonly precision?: Precision
  /** tokenizer.json or spiece.model beside the weights, where one was found. */
  readonly tokenizerPath?: string
  /** skrr-plan.json beside the weights: the plan the checkpoint was exported under. */
  readonly planPath?: string
}
