/** Text to token ids, as the model's own tokenizer does it: the end-of-sequence id is appended, nothing is padded. */
export interface Tokenizer {
  /**
   * @param maxTokens how many ids the caller will use, eos counted in. It is a hint: tokenising may end once there are more
   *   ids. The result then also has more than `maxTokens` ids, and its first `maxTokens` - 1 are those of the whole
   *   text. Without it the whole text is tokenised.
   * @returns all ids, eos last. Lone surrogates count as U+FFFD.
   */
  encode(text: string, maxTokens?: number): Int32Array
  /** The same in steps of at most some 10 ms, for callers that share their thread; each `next` is one. */
  encodeSteps(text: string, maxTokens?: number): Generator<undefined, Int32Array>
  readonly padId: number
  readonly eosId: number
  /** Ids are below this. The model's embedding may have more rows (T5: 32,128 for 32,100). */
  readonly vocab: number
  readonly file: string
}
