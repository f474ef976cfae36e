/** Text to token ids, as the model's own tokenizer does it: its special ids are put around the text, nothing is padded. */
export interface Tokenizer {
  /**
   * @param maxTokens how many ids the caller will use, special ones counted in. It is a hint: tokenising may end once there are more
   *   ids. The result then also has more than `maxTokens` ids, and its first `maxTokens` - 1 are those of the whole
   *   text. Without it the whole text is tokenised.
   * @param bare without the special ids around the text
   * @returns all ids, `before` first and `after` last. Lone surrogates count as U+FFFD.
   */
  encode(text: string, maxTokens?: number, bare?: boolean): Int32Array
  /** The same in steps of at most some 10 ms, for callers that share their thread; each `next` is one. */
  encodeSteps(text: string, maxTokens?: number, bare?: boolean): Generator<undefined, Int32Array>
  /** Special ids around every text: T5's none and </s>, CLIP's start and end, Llama's bos alone, Qwen's none. */
  readonly before: readonly number[]
  readonly after: readonly number[]
  readonly padId: number
  readonly padSide: 'left' | 'right'
  /** The end of a text, in whose place others may pad; undefined where its files name none. */
  readonly eosId: number | undefined
  /** What tokenizer_config.json cuts texts to; undefined where it says nothing. */
  readonly maxLength: number | undefined
  /** Ids are below this. The model's embedding may have more rows (T5: 32,128 for 32,100). */
  readonly vocab: number
  readonly file: string
}

/** What is known of a tokenizer without calling it. */
export type TokenizerFacts = Omit<Tokenizer, 'encode' | 'encodeSteps'>
