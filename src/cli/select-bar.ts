import cliProgress from 'cli-progress'
import type { Plan } from '../plan/plan.js'
import type { SelectProgress } from '../select/settings.js'
import { SearchTime } from './search-time.js'

const RESOLUTION = 1000

/** The search's progress on stderr, only where that is a terminal: the phase's bar, the search's time, D and the best plan so far. */
export class SelectBar {
  readonly #bar: cliProgress.SingleBar | undefined
  readonly #time: SearchTime
  #phase = ''

  /** @param last the phase with which the search ends */
  constructor(last: SelectProgress['phase']) {
    this.#time = new SearchTime(performance.now(), last)
    if (!process.stderr.isTTY) return
    this.#bar = new cliProgress.SingleBar(
      {
        format: '{phase} {bar} {time}  D {D}  {strip}',
        barsize: 16,
        clearOnComplete: true,
        hideCursor: true,
        stream: process.stderr,
      },
      cliProgress.Presets.shades_classic,
    )
  }

  readonly update = ({ phase, fraction, plan, D }: SelectProgress): void => {
    if (!this.#bar) return
    const value = Math.round(RESOLUTION * (fraction ?? 0))
    const time = this.#time.after({ phase, fraction }, performance.now())
    const payload = { phase: phase.padEnd(6), time, D: D?.total.toPrecision(3) ?? '-', strip: blocksOf(plan) }
    if (phase === this.#phase) {
      this.#bar.update(value, payload)
      return
    }
    this.stop()
    this.#phase = phase
    this.#bar.start(RESOLUTION, value, payload)
  }

  stop(): void {
    if (this.#bar?.isActive) this.#bar.stop()
  }
}

/** One sign a block: its upper half is the attention, its lower the feed-forward; a half is filled where its own weights run. */
function blocksOf(plan: Plan): string {
  const runs = (p: number): boolean => plan.table[p] === p
  const signs = Array.from({ length: plan.table.length / 2 }, (_, block) => {
    const [attention, feedForward] = [runs(2 * block), runs(2 * block + 1)]
    if (attention) return feedForward ? '█' : '▀'
    return feedForward ? '▄' : '·'
  })
  return signs.join('')
}
