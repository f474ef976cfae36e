import type { SelectProgress } from '../select/settings.js'

type Step = Pick<SelectProgress, 'phase' | 'fraction'>

/** The rate of a phase is that of so many milliseconds: what a journal replays at once is soon forgotten. */
const WINDOW_MS = 30_000

/** How long a search took, and how much longer it takes as far as that can be known. */
export class SearchTime {
  #phase: SelectProgress['phase'] | undefined
  #seen: { at: number; fraction: number }[] = []

  /** @param started in milliseconds, as every `now`; `last` is the phase with which the search ends */
  constructor(
    private readonly started: number,
    private readonly last: SelectProgress['phase'],
  ) {}

  /** `2m05s, at least 1m10s left`: at least, where a phase follows whose work nobody knows. */
  after({ phase, fraction }: Step, now: number): string {
    if (phase !== this.#phase) this.#seen = []
    this.#phase = phase
    const elapsed = inWords(now - this.started)
    if (fraction === undefined) return `${elapsed}, rest not known`
    this.#seen.push({ at: now, fraction })
    while (this.#seen.length > 2 && this.#seen[1]!.at < now - WINDOW_MS) this.#seen.shift()
    const from = this.#seen[0]!
    if (!(fraction > from.fraction && now > from.at)) return `${elapsed}, rest not known`
    const left = inWords(((1 - fraction) * (now - from.at)) / (fraction - from.fraction))
    return `${elapsed}, ${phase === this.last ? 'about' : 'at least'} ${left} left`
  }
}

function inWords(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000)
  const two = (n: number): string => String(n).padStart(2, '0')
  if (seconds < 60) return `${seconds}s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m${two(seconds % 60)}s`
  return `${Math.floor(seconds / 3600)}h${two(Math.floor(seconds / 60) % 60)}m`
}
