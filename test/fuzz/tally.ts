import type { Ending } from './batch.js'
import type { Report } from './child.js'

/** What came of the cases so far. */
export class Tally {
  failures = 0
  readonly #started = performance.now()
  readonly #outcomes = new Map<string, Map<string, number>>()
  readonly #cleared: Ending[] = []
  #cases = 0
  #slowest: Report | undefined
  #largest: Report | undefined

  constructor(private readonly seed: number) {}

  add(report: Report): void {
    this.#cases++
    const outcomes = this.#outcomes.get(report.action) ?? new Map<string, number>()
    this.#outcomes.set(report.action, outcomes)
    outcomes.set(report.outcome, (outcomes.get(report.outcome) ?? 0) + 1)
    if (report.cpuMs > (this.#slowest?.cpuMs ?? 0)) this.#slowest = report
    if (report.growth > (this.#largest?.growth ?? 0)) this.#largest = report
  }

  fail(number: number, why: string, files: string): void {
    this.failures++
    console.log(`FAILED ${this.seed}:${number}: ${why}\n  files: ${files}`)
  }

  /** What took too long or too much on a busy machine, and alone did not. */
  cleared(ending: Ending): void {
    this.#cases++
    this.#cleared.push(ending)
  }

  line(): string {
    const seconds = (performance.now() - this.#started) / 1000
    return `${this.#cases} cases in ${seconds.toFixed(0)} s, ${this.failures} failures`
  }

  summary(): string {
    const actions = [...this.#outcomes].sort(([a], [b]) => a.localeCompare(b))
    const codes = [...new Set(actions.flatMap(([, outcomes]) => [...outcomes.keys()]))].sort()
    const rows = actions.map(([action, outcomes]) => {
      const counts = codes.map((code) => String(outcomes.get(code) ?? 0))
      return `| ${action} | ${counts.join(' | ')} |`
    })
    return [
      `| | ${codes.join(' | ')} |`,
      `|---|${codes.map(() => '---:').join('|')}|`,
      ...rows,
      '',
      `longest: ${this.#slowest?.cpuMs.toFixed(0)} ms of processor time (${this.seed}:${this.#slowest?.number}); largest growth of a process: ` +
        `${Math.round((this.#largest?.growth ?? 0) / 2 ** 20)} MiB`,
      `run again alone and then within the limits: ${this.#cleared.length}`,
      `seed ${this.seed}: ${this.line()}`,
    ].join('\n')
  }
}
