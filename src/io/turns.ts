import { setImmediate as immediate } from 'node:timers/promises'

/** Max ms that all calls together take of one turn of the event loop; one step of one call may come on top. */
const SLICE_MS = 2

let sliceStart = 0
let renewing = false

/**
 * Whether work on the event loop's thread should go on in a later turn. All calls share one slice: fifty small calls at once
 * hold up timers and sockets no longer than a large one does.
 */
export const turnIsOver = (): boolean => renewing || performance.now() - sliceStart > SLICE_MS

/**
 * Resolves in a turn with time left, in the order of the calls.
 * @throws the signal's reason once it is aborted
 */
export async function nextTurn(signal?: AbortSignal): Promise<void> {
  while (turnIsOver()) {
    if (!renewing) {
      renewing = true
      // the slice is renewed in a later turn, so that this turn's sockets come first, and before the callers that wait
      setImmediate(() => setImmediate(renew))
    }
    await immediate()
    signal?.throwIfAborted()
  }
}

function renew(): void {
  sliceStart = performance.now()
  renewing = false
}

/** Work in short steps, done in turns. @throws the signal's reason once it is aborted */
export async function inTurns<T>(steps: Generator<undefined, T>, signal?: AbortSignal): Promise<T> {
  signal?.throwIfAborted()
  for (;;) {
    if (turnIsOver()) await nextTurn(signal)
    const step = steps.next()
    if (step.done) return step.value
  }
}

/** The same at once, for threads where nobody waits. */
export function finish<T>(steps: Generator<undefined, T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
  }
}
