/** What a run writes down (bench/results/*.json), and what is read out of it. */

export const SOFTWARE = [
  'skrr',
  'onnxruntime',
  'PyTorch',
  'PyTorch compiled',
  'torchao',
  'llama.cpp',
] as const
export type Software = (typeof SOFTWARE)[number]

/** Bits a weight, without scales: rivals are compared within them. */
export const BITS = [32, 16, 8, 4] as const
export type Bits = (typeof BITS)[number]

export interface Row {
  readonly software: Software
  readonly precision: string
  readonly bits: Bits
  /** Milliseconds of each forward. */
  readonly ms: readonly number[]
  /** Forwards that were left out, since other programs took their processors. */
  readonly disturbed: number
  /** Peak resident bytes of its process, loading included. */
  readonly peak: number
  /** Resident bytes after loading and the first forward; runs before 2026-11-30 have none. */
  readonly held?: number
  /** Relative L2 error of its embeddings against skrr's in f32. */
  readonly error: number
}

export interface Results {
  readonly machine: string
  readonly node: string
  readonly threads: number
  readonly versions: Readonly<Partial<Record<Software, string>>>
  /** What a reader must know of these runs, in Markdown. */
  readonly notes?: readonly string[]
  /** By size, such as 1x77; each was measured at once. */
  readonly sizes: Readonly<
    Record<string, { readonly date: string; readonly commit: string; readonly rows: readonly Row[] }>
  >
}

/** Of numbers in any order, interpolated. @param at 0.5 is the median */
export function quantile(values: readonly number[], at: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  const place = at * (sorted.length - 1)
  const below = Math.floor(place)
  return sorted[below]! + (place - below) * ((sorted[below + 1] ?? sorted[below]!) - sorted[below]!)
}

export const median = (row: Row): number => quantile(row.ms, 0.5)
