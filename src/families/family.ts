import type { Architecture } from '../model/architecture.js'
import type { PlainEncoding } from '../model/encoding.js'
import type { FixedRole, Role } from '../model/roles.js'

/** One tensor an encoder needs: its canonical name, which is Hugging Face's, and the shape it must have. */
export interface TensorSpec<R extends Role | FixedRole = Role | FixedRole> {
  readonly role: R
  readonly name: string
  readonly shape: readonly number[]
  /** Several sub-blocks have this one; it is stored once, and kept by every plan. */
  readonly shared?: boolean
  /** It is rows [from, from + shape[0]) of a tensor of that name with `of` rows. */
  readonly part?: { readonly from: number; readonly of: number }
  /** Added to every element: norms that multiply by 1 + w. Files hold w. */
  readonly plus?: number
}

/** Tensors by canonical names. */
export type Shapes = ReadonlyMap<string, { readonly shape: readonly number[] }>

/** Encoders whose files have the same names and config fields. Everything about them is known in their Family alone. */
export interface Family {
  /** The values of Architecture.family. */
  readonly labels: readonly string[]
  /** The values of config.json's model_type. */
  readonly modelTypes: readonly string[]
  /** For messages, after "a" or "one". */
  readonly title: string
  /** In pipelines it stands beside larger encoders; where one of those is found, it is not the one that is meant. */
  readonly beside?: boolean
  /** For messages: what tensors to expect. */
  readonly tensors: string
  /** For messages: one encoder, "a ...". */
  describe(a: Architecture): string

  /** The model type of a class that config.json names in `architectures`. */
  typeOfClass(name: string): string | undefined
  /** @throws CheckpointError; `file` is named in it */
  fromConfig(file: string, modelType: string, json: unknown): Architecture
  /** For a file without config.json; absent where shapes do not tell enough. @throws CheckpointError */
  fromShapes?(file: string, tensors: Shapes): Architecture
  /** The declared architecture with what its config.json leaves open and its tensors tell. */
  asStored?(a: Architecture, tensors: Shapes): Architecture
  /** A config.json that Hugging Face's class for the encoder takes. */
  config(a: Architecture, encoding: PlainEncoding): Record<string, unknown>

  fixed(a: Architecture): TensorSpec<FixedRole>[]
  /** Tensors of a sub-block, its norm included. */
  subBlock(a: Architecture, subBlock: number): TensorSpec<Role>[]
  /** What the names of a packed sub-block's two matrices begin with. */
  packed(a: Architecture, subBlock: number): { readonly in: string; readonly out: string }
  /** Every prefix under which an encoder stands in a file with these tensors. */
  prefixes(names: Iterable<string>): string[]
  /** Canonical name -> name in the file, for what belongs to the encoder under `prefix`; everything else is left out. */
  canonical(names: Iterable<string>, prefix: string): Map<string, string>

  /** Its tokenizer ends every prompt with the id that config.json calls eos_token_id. */
  readonly endsWithEos?: boolean
  /** Token ids of the empty prompt; `eos` is the tokenizer's, where there is one. */
  emptyPrompt(eos: number | undefined): readonly number[]
  /** The pad of the models its code was first written for; a tokenizer may have another. */
  readonly padId: number
  /** How many ids its tokenizers put before and after each prompt, where all do the same. */
  readonly around?: readonly [before: number, after: number]
  /** Tokenizers in this package (folders of vocabularies/), by the label and the size of the vocabulary that say which one it is. */
  readonly vocabularies?: Readonly<Record<string, Readonly<Record<number, string>>>>
  /** Files its tokenizer may consist of; the first that exists is loaded. */
  readonly tokenizerFiles: readonly string[]
}
