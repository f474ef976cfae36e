/** What a comparison of two builds writes down, and its table. */
import type { Ratio } from './ratio.js'

export interface Build {
  readonly commit: string
  /** The instruction set it ran. */
  readonly isa: string
}

export interface Row extends Ratio {
  readonly precision: string
  /** Such as 1x77: batch x tokens. */
  readonly size: string
  /** Whether the embeddings of both are the same to the bit. */
  readonly same: boolean
  /** Milliseconds of each turn. */
  readonly ms: { readonly before: readonly number[]; readonly after: readonly number[] }
}

export interface Comparison {
  readonly date: string
  readonly machine: string
  readonly node: string
  readonly threads: number
  /** Of T5-XXL's. */
  readonly blocks: number
  readonly command: string
  readonly before: Build
  readonly after: Build
  /** What no interval may lie below. */
  readonly limit: number
  readonly rows: readonly Row[]
}

/** Rows whose whole interval lies below the limit: there `after` is slower beyond doubt. */
export const slower = ({ rows, limit }: Comparison): Row[] => rows.filter(({ high }) => high < limit)

const line = (...cells: readonly string[]): string => `| ${cells.join(' | ')} |`
const milliseconds = (ms: number): string => ms.toFixed(ms < 100 ? 1 : 0)
const build = (name: string, { commit, isa }: Build): string => `${name}: ${commit} (${isa})`

export function markdown(comparison: Comparison): string {
  const { date, machine, node, threads, blocks, command, before, after, limit, rows } = comparison
  const turns = rows[0]?.ms.before.length ?? 0
  const found = slower(comparison).map(({ precision, size }) => `${precision} ${size}`)
  return [
    `${date}, ${machine}, Node ${node}, ${threads} threads, ${turns} turns; blocks: ${blocks}, of T5-XXL's shape unless --model names another.`,
    `${build('Before', before)}; ${build('after', after)}.`,
    `\`${command}\``,
    '',
    line('', 'size', 'before ms', 'after ms', 'before / after', '95 % interval', 'same bits'),
    '|---|---|---:|---:|---:|---:|---|',
    ...rows.map(({ precision, size, same, ratio, low, high, ...ms }) =>
      line(
        ...[precision, size, milliseconds(ms.before), milliseconds(ms.after), ratio.toFixed(3)],
        ...[`${low.toFixed(3)} to ${high.toFixed(3)}`, same ? 'yes' : 'no'],
      ),
    ),
    '',
    `Intervals that lie below ${limit}: ${found.length === 0 ? 'none' : found.join(', ')}.`,
    '',
  ].join('\n')
}
