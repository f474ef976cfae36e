import { cpus, loadavg } from 'node:os'
import { addonCommit, native, type NativeBenchRow } from '../native/addon.js'
import type { Device } from '../native/device.js'
import { version } from './package.js'
import { formatPercent } from './terminal.js'

/** Where and with what a report was measured. */
export interface Machine {
  readonly version: string
  /** That the addon was built from, where that is known. */
  readonly commit: string | null
  /** ISO 8601, at the start. */
  readonly date: string
  readonly cpu: string
  readonly cores: number
  /** The kernels in use. */
  readonly isa: string
  /** null where the processor does not compute. */
  readonly threads: number | null
  /** Programs that ran or waited, on average over the minute before the start. */
  readonly load: number
}

/** @param threads those asked for */
export function machineNow({ kind }: Device, threads: number | undefined): Machine {
  const { isa, threads: available } = native().describe()
  const processors = cpus()
  return {
    version,
    commit: addonCommit(),
    date: new Date().toISOString(),
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    isa,
    threads: kind === 'cpu' ? (threads ?? available) : null,
    load: loadavg()[0]!,
  }
}

/** Load a core, from which on others' work shows in the times. */
const BUSY_LOAD = 0.25
/** Half of the runs of a row lie within this share of their median, on a quiet machine. */
const QUIET_SPREAD = 0.1
/** Below it a timer's own noise is seen. */
const MIN_MS = 0.1

/** What makes the times of a report doubtful, in words. */
export function warningsOf(
  { load, cores }: Pick<Machine, 'load' | 'cores'>,
  rows: readonly Pick<NativeBenchRow, 'seconds' | 'lower' | 'upper'>[],
): string[] {
  const warnings: string[] = []
  if (load > BUSY_LOAD * cores) {
    warnings.push(
      `the machine was busy before the start: a load of ${load.toFixed(2)} on ${cores} cores, expected at most ${(BUSY_LOAD * cores).toFixed(2)}`,
    )
  }
  const spreads = rows
    .filter(({ seconds }) => seconds * 1e3 >= MIN_MS)
    .map(({ seconds, lower, upper }) => (upper - lower) / seconds)
    .sort((a, b) => a - b)
  const spread = spreads[Math.floor(spreads.length / 2)] ?? 0
  if (spread > QUIET_SPREAD) {
    warnings.push(
      `runs of the same work differ by ${formatPercent(spread)} between their quartiles (the median of all rows), expected at most ${formatPercent(QUIET_SPREAD)}: other programs ran`,
    )
  }
  return warnings
}
