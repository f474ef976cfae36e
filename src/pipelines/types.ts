/** What a pipeline of diffusers makes of prompts, as data: texts, rows of ids, states of its encoders, the tensors it hands on. */
export interface PipelineData {
  /** `_class_name` of a model_index.json. */
  readonly classes: readonly string[]
  /** The file of diffusers (0.42.1) that it is taken from. */
  readonly source: string
  /** By the encoder's folder. */
  readonly slots: Readonly<Record<string, SlotData>>
  readonly negative: Negative
  /** Names of outputs in diffusers' order; those of the negative side begin with `negative_`. */
  readonly returns: readonly string[]
  /** Outputs without a batch axis 0, with it elsewhere, or with an entry of a list for each prompt; others are repeated for several images of a prompt along axis 0. */
  readonly batchAxis?: Readonly<Record<string, number | 'none' | 'list'>>
  /** Tensors of one side, by their names without `negative_`. `slots` has those that were encoded. */
  outputs(slots: Readonly<Record<string, SideOfSlot>>, call: Call): Record<string, Output>
  /** What both sides need of each other, such as a common length. */
  finish?(positive: Record<string, Output>, negative: Record<string, Output>): void
}

/**
 * The side without the prompt. `always`: encoded, `text` where none is given. `given`: only where one is given. `zeros`: zeros where
 * none is given. `never`: there is none.
 */
export interface Negative {
  readonly when: 'always' | 'given' | 'zeros' | 'never'
  readonly text?: string
  /** An empty negative prompt counts as none. */
  readonly emptyIsText?: boolean
  /** A field of model_index.json that makes `always` of `zeros` where it is false. */
  readonly zerosIf?: string
}

export type Text = string | readonly string[]

export interface SlotData {
  /** The tokenizer's folder. */
  readonly tokenizer: string
  /** Arguments with its prompts: the first of them that is given and not empty. */
  readonly prompt: readonly string[]
  /** A prompt as its tokenizer gets it; in pieces, each on its own; undefined where the encoder does not run. Default: as it is. */
  readonly text?: (prompt: string, call: TextCall) => Text | undefined | Promise<Text>
  readonly length: (call: TextCall) => number | Promise<number>
  /** Rows are as long as `length`, as the longest of the batch, as they are, or a multiple. */
  readonly padTo: 'length' | 'longest' | 'none' | number
  /** Default: the tokenizer's own side. */
  readonly padSide?: 'left' | 'right'
  /** Default: the tokenizer's own pad. */
  readonly padId?: number | 'end'
  /** Without special ids around the text. */
  readonly bare?: boolean
  /** Texts before the prompt and after the pads, outside its length. */
  readonly prefix?: string
  readonly suffix?: string
  /** A longer prompt is an error. */
  readonly refusesLonger?: boolean
  /** The encoder gets the mask; without, pads are tokens like others. */
  readonly mask: boolean
  /** No denoiser reads the rows of pads, or it masks them: they are not computed, and zero. */
  readonly padsUnread?: boolean
  /** The encoder's family, where several slots could take a file that has no folder around it. */
  readonly encoder?: string
  /** Positions that the pipeline gives; default: those of the rows, pads counted. */
  readonly positions?: (mask: Int32Array) => Int32Array
  /** Changes ids and masks of a side, before it is encoded. */
  readonly rewrite?: (rows: Row[], call: TextCall) => void
  /** States that are read, in the order of the outputs. */
  readonly states: (call: Pick<Call, 'args' | 'negative'>, blocks: number) => readonly State[]
  /** The pipeline runs without it, as diffusers defines that. */
  readonly optional?: boolean
  /** Its ids are handed on, and no encoder runs. */
  readonly idsOnly?: boolean
  /** A pooled row: as it is, or through the encoder's projection. */
  readonly pooled?: 'plain' | 'projected'
}

/** The stream after so many blocks (0: the embeddings), or its final norm. */
export interface State {
  readonly after: number
  readonly norm: boolean
}

/** One prompt's ids, pads included. */
export interface Row {
  ids: Int32Array
  /** 1 where there is a token, 0 where a pad. */
  mask: Int32Array
  positions?: Int32Array
  /** The prompt lost its end. */
  truncated: boolean
}

/** Diffusers' arguments of encode_prompt and __call__ that touch texts. */
export type Arguments = Readonly<Record<string, unknown>>

export interface Call {
  readonly args: Arguments
  readonly negative: boolean
  /** The model_index.json, empty where there is none. */
  readonly index: Readonly<Record<string, unknown>>
  readonly imagesPerPrompt: number
  /** The denoiser's config.json, empty where there is none. */
  readonly denoiser: Readonly<Record<string, unknown>>
}

/** What a slot's texts and lengths are made of. */
export interface TextCall extends Pick<Call, 'args' | 'negative' | 'index'> {
  readonly prompts: readonly string[]
  /** What the slot's tokenizer cuts texts to. */
  readonly maxLength: number
  /** How many ids a text has, special ones included. */
  readonly count: (text: string) => Promise<number>
}

export type Dtype = 'float32' | 'int64' | 'bool'
export interface Tensor {
  readonly shape: readonly number[]
  readonly dtype: Dtype
  readonly data: Float32Array | Int32Array
}
/** A list where diffusers has one; null where it hands on None. */
export type Output = Tensor | readonly Tensor[] | null

/** What an encoder made of one side. */
export interface SideOfSlot {
  readonly rows: readonly Row[]
  /** A state [prompts, tokens, width]; rows of unequal length are padded with zeros. */
  readonly states: readonly Tensor[]
  /** [prompts, width] */
  readonly pooled?: Tensor
}
