import { onAbort } from './abort.js'

/**
 * The reports of one call to its caller's onProgress. What that throws, or what a promise of it rejects with, aborts `signal`: the
 * call then ends as it does by the caller's own signal, and rejects with that very value.
 */
export class Reports<A extends readonly unknown[]> {
  readonly #ending = new AbortController()
  readonly #pending = new Set<Promise<unknown>>()

  constructor(private readonly onProgress: ((...args: A) => unknown) | undefined) {}

  /** Aborts with the caller's signal, and when onProgress fails. */
  get signal(): AbortSignal {
    return this.#ending.signal
  }

  readonly report = (...args: A): void => {
    if (this.signal.aborted) return
    try {
      const result = this.onProgress?.(...args)
      if (typeof result === 'object' && result !== null && 'then' in result)
        this.#await(Promise.resolve(result))
    } catch (error) {
      this.#ending.abort(error)
    }
  }

  /** Before what was made is handed out: waits for promises of onProgress. @throws what it failed with; the signal's reason */
  async settled(): Promise<void> {
    if (this.#pending.size > 0 && !this.signal.aborted) {
      let stop: () => void = () => undefined
      const aborted = new Promise<void>((resolve) => (stop = onAbort(this.signal, resolve)))
      await Promise.race([Promise.all(this.#pending), aborted])
      stop()
    }
    this.signal.throwIfAborted()
  }

  /** Aborts with `signal`, until the function that it returns is called. */
  follow(signal: AbortSignal | undefined): () => void {
    if (signal === undefined) return () => undefined
    const end = (): void => this.#ending.abort(signal.reason)
    if (signal.aborted) end()
    return onAbort(signal, end)
  }

  #await(result: Promise<unknown>): void {
    const done: Promise<unknown> = result.then(
      () => this.#pending.delete(done),
      (error: unknown) => this.#ending.abort(error),
    )
    this.#pending.add(done)
  }
}

/** Runs a call that reports to onProgress and ends by `signal`. @throws the signal's reason; what onProgress threw */
export async function reporting<A extends readonly unknown[], T>(
  {
    onProgress,
    signal,
  }: { onProgress?: ((...args: A) => unknown) | undefined; signal?: AbortSignal | undefined },
  call: (reports: Reports<A>) => Promise<T>,
): Promise<T> {
  const reports = new Reports(onProgress)
  const stop = reports.follow(signal)
  try {
    reports.signal.throwIfAborted()
    return await call(reports)
  } finally {
    stop()
  }
}
