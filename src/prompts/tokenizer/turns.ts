import { setImmediate as immediate } from 'node:timers/promises'

/** What all calls together may take of one turn of the event loop, in ms, and one step of one call more. */
const SLICE_MS = 2

let sliceStart = 0
let renewing = false

/**
 * Whether work on the event loop's thread should go on in a later turn. All calls draw on one slice: fifty small ones that
 * come at once hold up timers and sockets no longer than a large one does.
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
      // not in this turn, whose sockets have had their share of it; before the callers that wait, whose are queued behind
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
