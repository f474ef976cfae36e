import { CheckpointError } from '../errors.js'

/** What is read on the event loop's own thread: the header of an encoder of 24 blocks has 28 KB. */
export const HERE_BYTES = 128 << 10

/** Headers and index of a checkpoint together: 70,000 tensors, where an all-in-one file has some thousand. */
export const MAX_JSON_BYTES = 8 << 20

/** Headers of files that are inputs of a call: they hold a few tensors. */
export const INPUT_HEADER_BYTES = 1 << 20

/** Thrown where the rest belongs on a thread of its own (thread.ts). */
export class TooLargeHere extends Error {}

/** Bytes of JSON that may still be parsed: it bounds time and memory, whatever files say. */
export class JsonBudget {
  #left: number

  private constructor(
    private readonly limit: number,
    private readonly exceeded: (file: string, bytes: number) => Error,
  ) {
    this.#left = limit
  }

  /** @throws CheckpointError where more is taken */
  static atMost(limit: number): JsonBudget {
    return new JsonBudget(
      limit,
      (file, bytes) =>
        new CheckpointError({
          file,
          found: `${bytes} bytes of header or index`,
          expected: `at most ${limit} in all files of a checkpoint`,
        }),
    )
  }

  /** @throws TooLargeHere where more is taken */
  static here(): JsonBudget {
    return new JsonBudget(HERE_BYTES, () => new TooLargeHere())
  }

  /** Before `bytes` of a file are read. */
  take(file: string, bytes: number): void {
    this.#left -= bytes
    if (this.#left < 0) throw this.exceeded(file, this.limit - this.#left)
  }
}
