import cliProgress from 'cli-progress'
import pc from 'picocolors'
import { formatBytes, formatCount, formatPercent } from '../io/format.js'

export { formatBytes, formatCount, formatPercent }

/** Lines of `label  value`, the labels dimmed and aligned. */
export function fields(rows: readonly (readonly [label: string, value: string])[]): string {
  const width = Math.max(...rows.map(([label]) => label.length))
  return rows.map(([label, value]) => `${pc.dim(label.padEnd(width))}  ${value}`).join('\n')
}

/** A table with its first column left- and the others right-aligned. */
export function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)))
  return rows
    .map((row, r) => {
      const line = row
        .map((cell, column) => (column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)))
        .join('   ')
      return r === 0 ? pc.dim(line) : line
    })
    .join('\n')
}

/** A progress bar of bytes on stderr, only where that is a terminal. */
export class ByteBar {
  readonly #bar: cliProgress.SingleBar | undefined

  constructor(label: string) {
    if (!process.stderr.isTTY) return
    this.#bar = new cliProgress.SingleBar(
      {
        format: `${label} {bar} {percentage} % of {size}, {eta_formatted} left`,
        clearOnComplete: true,
        hideCursor: true,
        stream: process.stderr,
      },
      cliProgress.Presets.shades_classic,
    )
  }

  readonly update = (doneBytes: number, totalBytes: number): void => {
    if (totalBytes === 0) return
    if (this.#bar?.isActive) this.#bar.update(doneBytes)
    else this.#bar?.start(totalBytes, doneBytes, { size: formatBytes(totalBytes) })
  }

  stop(): void {
    if (this.#bar?.isActive) this.#bar.stop()
  }
}
