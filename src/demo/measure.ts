import { Encoder, type Encoded } from '../encoder.js'
import type { MemoryUse } from '../native/estimate.js'
import type { Plan } from '../plan/plan.js'
import { ByteBar } from '../cli/terminal.js'

/** What one plan cost on one batch of prompts. */
export interface Measurement {
  readonly plan: Plan
  /** Bytes of the checkpoint that were read: its sub-blocks' weights. */
  readonly loadedBytes: number
  readonly memory: MemoryUse
  readonly loadMs: number
  /** Median of `runs`, after one that is not counted. */
  readonly encodeMs: number
  readonly runs: number
  readonly encoded: Encoded
}

const RUNS = 5
/** A large model gets only three runs. */
const ENOUGH_MS = 4000

/** Loads a model under a plan, encodes the prompts a few times, and frees it again. */
export async function measure(
  model: string,
  plan: Plan,
  prompts: readonly string[],
  options: { label: string; tokenizer: string | undefined; signal: AbortSignal },
): Promise<Measurement> {
  const { tokenizer, signal } = options
  const bar = new ByteBar(`loading ${options.label}`)
  let loadedBytes = 0
  const started = performance.now()
  const encoder = await Encoder.load(model, {
    plan,
    tokenizer,
    signal,
    onProgress: ({ doneBytes, totalBytes }) => {
      loadedBytes = totalBytes
      bar.update(doneBytes, totalBytes)
    },
  }).finally(() => bar.stop())
  try {
    const loadMs = performance.now() - started
    const encoded = await encoder.encode(prompts, { signal })
    const times = await repeat(() => encoder.encode(prompts, { signal }))
    const { memory } = encoder
    return { plan, loadedBytes, memory, loadMs, encodeMs: median(times), runs: times.length, encoded }
  } finally {
    await encoder.dispose()
  }
}

async function repeat(run: () => Promise<unknown>): Promise<number[]> {
  const times: number[] = []
  const begun = performance.now()
  while (times.length < 3 || (times.length < RUNS && performance.now() - begun < ENOUGH_MS)) {
    const started = performance.now()
    await run()
    times.push(performance.now() - started)
  }
  return times
}

function median(times: readonly number[]): number {
  const sorted = [...times].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[half]! : (sorted[half - 1]! + sorted[half]!) / 2
}

/** ||a - b|| / ||b||, over rows [from, to) of two results of one shape. */
export function relativeDifference(a: Encoded, b: Encoded, from = 0, to: number = a.shape[0]): number {
  const row = a.shape[1] * a.shape[2]
  let error = 0
  let power = 0
  for (let i = from * row; i < to * row; i++) {
    error += (a.embeddings[i]! - b.embeddings[i]!) ** 2
    power += b.embeddings[i]! ** 2
  }
  return Math.sqrt(error / power)
}
