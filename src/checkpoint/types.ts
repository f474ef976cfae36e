import type { Architecture } from '../model/architecture.js'
import { tensorsOf, type PlacedTensor } from '../families/index.js'
import type { PlainEncoding } from '../model/encoding.js'
import type { FixedRole, Role } from '../model/roles.js'
import type { Precision } from '../model/precision.js'
import type { PackedSubBlock } from './packed.js'

/**
 * A checked tensor: it lies inside its file and has the size of its shape. It may start at any byte, so elements must be read by
 * copying.
 */
export interface TensorRef {
  /** Name in the file, which may differ from the canonical one. */
  readonly name: string
  readonly file: string
  /** Absolute byte offset in the file. */
  readonly offset: number
  readonly bytes: number
  readonly encoding: PlainEncoding
  readonly shape: readonly number[]
  /** Factor on every element (ComfyUI's scaled fp8 files carry one per matrix); absent means 1. */
  readonly scale?: number
  /** Added to every element after the scale; absent means 0. */
  readonly plus?: number
}

export type StoredSubBlock = Readonly<Partial<Record<Role, TensorRef>>>

/** An encoder found on disk: its architecture and where each tensor lies. No weight has been read. */
export interface Checkpoint {
  /** The path the user gave. */
  readonly path: string
  readonly architecture: Architecture
  /** Tensors outside the sub-blocks; without an embedding where the encoder only takes inputsEmbeds. */
  readonly fixed: Readonly<Partial<Record<FixedRole, TensorRef>>>
  /** [2 x blocks] each one's tensors; a sub-block left out of an export has only those it shares with others. */
  readonly subBlocks: readonly StoredSubBlock[]
  /** Sub-blocks whose matrices are packed; their norms are in `subBlocks`. Only `export --precision int8` and int4 make any. */
  readonly packed: ReadonlyMap<number, PackedSubBlock>
  /** The precision given to `export --precision`; absent in other checkpoints. */
  readonly precision?: Precision
  /** The id of `</s>` in config.json; absent where it says none. */
  readonly eosId?: number
  /** tokenizer.json, spiece.model or tokenizer.model beside the weights, where one was found. */
  readonly tokenizerPath?: string
  /** skrr-plan.json beside the weights: the plan the checkpoint was exported under. */
  readonly planPath?: string
}

/** Whether a checkpoint has the weights of a sub-block. */
export const holds = ({ subBlocks }: Checkpoint, subBlock: number): boolean =>
  subBlocks[subBlock]?.norm !== undefined

/** A tensor of a checkpoint under its canonical name; see PlacedTensor. */
export type StoredTensor = PlacedTensor & { readonly ref: TensorRef }

/** Every tensor once, packed matrices left out. */
export const storedTensors = ({ architecture, fixed, subBlocks }: Checkpoint): StoredTensor[] =>
  tensorsOf(architecture).flatMap((tensor) => {
    const { role, subBlock } = tensor
    const ref = subBlock === undefined ? fixed[role as FixedRole] : subBlocks[subBlock]?.[role as Role]
    return ref === undefined ? [] : [{ ...tensor, ref }]
  })
