/** What we use of the two engines. sentencepiece-js 1.1.0 ships no types. */
declare module 'sentencepiece-js' {
  interface Handle {
    delete(): void
  }
  interface View extends Handle {
    getView(): Handle
  }
  export class SentencePieceProcessor {
    /** Reads the file with readFileSync; a model it cannot parse is no error here, see `status`. */
    load(path: string): Promise<void>
    /** No eos; without a model it prints to the console and gives []. */
    encodeIds(text: string): number[]
    readonly sentencepiece: { readonly StringView: new (text: string) => View }
    readonly processor: {
      /** "OK", or Google's message */
      status(): Handle & { ToString(): string }
      PieceToId(piece: Handle): number
    }
  }
}

/** @huggingface/tokenizers 0.2.0 ships types that NodeNext cannot resolve (imports without extension). */
declare module '@huggingface/tokenizers' {
  export class Tokenizer {
    /** The parsed tokenizer.json and tokenizer_config.json; throws anything for a file it does not understand. */
    constructor(tokenizer: object, config: object)
    encode(text: string, options?: { add_special_tokens?: boolean }): { ids: number[] }
    token_to_id(token: string): number | undefined
    /** A Unigram, see huggingface.ts. */
    readonly model: object
  }
}
