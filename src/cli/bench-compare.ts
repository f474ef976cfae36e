/** `skrr bench --compare`: the rows of a report beside those of an earlier one. */
import { readFile, stat } from 'node:fs/promises'
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'
import { InputError } from '../errors.js'
import { number, text } from '../io/arguments.js'
import { ioReason } from '../io/files.js'
import { fieldName, show, valueAt } from '../io/show.js'
import { fingerprint } from '../model/fingerprint.js'
import type { Machine } from './bench-machine.js'
import type { ReportRow, Subject } from './bench-report.js'
import { formatPercent, table } from './terminal.js'

/** A report has some hundred rows. */
const MAX_BYTES = 1 << 23
/** Shorter rows are shown and not judged: a timer's noise is more than any threshold there. */
const MIN_JUDGED_MS = 0.1

const list = <T>(of: z.ZodType<T>) => z.array(of, { error: 'a list' })
const object = <T extends z.ZodRawShape>(shape: T) =>
  z.object(shape, { error: 'an object, as skrr bench --json writes it' })
const orNull = <T>(of: z.ZodType<T>) => of.nullable()

const SCHEMA = object({
  version: text,
  commit: orNull(text),
  date: text,
  cpu: text,
  isa: text,
  threads: orNull(number),
  device: text,
  precision: text,
  shape: text,
  plans: list(object({ name: text, table: list(z.unknown()) })),
  rows: list(
    object({
      what: text,
      plan: orNull(text),
      tokens: number,
      ms: z.number({ error: 'milliseconds' }).positive({ error: 'milliseconds above 0' }),
    }),
  ),
})

export class EarlierReport {
  constructor(
    readonly file: string,
    readonly report: z.infer<typeof SCHEMA>,
  ) {}

  /** @throws InputError where times of the two say nothing about each other */
  checkSubject({ device, precision, architecture }: Subject, tokens: readonly number[]): void {
    const { file, report } = this
    const now = { device: device.name, precision, shape: fingerprint(architecture) }
    for (const field of ['device', 'precision', 'shape'] as const) {
      if (report[field] === now[field]) continue
      const hint = 'Measure the same encoder on the same device'
      throw new InputError({ file, field, found: show(report[field]), expected: show(now[field]), hint })
    }
    if (report.rows.some((row) => tokens.includes(row.tokens))) return
    const found = [...new Set(report.rows.map((row) => row.tokens))].slice(0, 8).join(', ')
    throw new InputError({ file, field: 'rows', found: `tokens ${found}`, expected: 'one of --tokens' })
  }

  /** What differs but the build, in words. */
  differences(now: Pick<Machine, 'cpu' | 'isa' | 'threads'>): string[] {
    return (['cpu', 'isa', 'threads'] as const)
      .filter((field) => this.report[field] !== now[field])
      .map((field) => `${field} is ${now[field]}, and was ${this.report[field]} in ${this.file}`)
  }
}

/** @throws InputError where the file is no report of `skrr bench --json` */
export async function readReport(file: string): Promise<EarlierReport> {
  const value = await readJson(file)
  const result = SCHEMA.safeParse(value)
  if (result.success) return new EarlierReport(file, result.data)
  const { path, message } = result.error.issues[0]!
  throw new InputError({
    ...{ file, field: fieldName(path), found: show(valueAt(value, path)), expected: message },
    hint: 'Reports are written by `skrr bench --json`, from version 0.2 on',
  })
}

async function readJson(file: string): Promise<unknown> {
  try {
    const found = await stat(file)
    if (!found.isFile())
      throw new InputError({ file, found: 'no regular file', expected: 'a report in JSON' })
    if (found.size > MAX_BYTES) {
      throw new InputError({
        file,
        found: `${found.size} bytes`,
        expected: `at most ${MAX_BYTES} for a report`,
      })
    }
    return JSON.parse(await readFile(file, 'utf8')) as unknown
  } catch (cause) {
    if (cause instanceof InputError) throw cause
    const message = cause instanceof SyntaxError ? 'is no JSON' : `cannot be read: ${ioReason(cause)}`
    throw new InputError({ file, message }, { cause })
  }
}

export interface ComparedRow extends ReportRow {
  readonly earlierMs: number
  /** Time now over time then. */
  readonly ratio: number
  /** By more than the threshold. */
  readonly slower: boolean
}

export interface Comparison {
  readonly file: string
  readonly version: string
  readonly commit: string | null
  readonly date: string
  readonly threshold: number
  /** Rows that take longer than the threshold allows. */
  readonly slower: number
  /** Those that both reports have. */
  readonly rows: readonly ComparedRow[]
}

export function compare(
  { file, report }: EarlierReport,
  rows: readonly ReportRow[],
  { plans }: Pick<Subject, 'plans'>,
  threshold: number,
): Comparison {
  const samePlan = (name: string | null): boolean =>
    name === null ||
    isDeepStrictEqual(report.plans.find((plan) => plan.name === name)?.table, plans[name]?.table)
  const compared = rows.flatMap((row): ComparedRow[] => {
    const earlier = report.rows.find(
      ({ what, plan, tokens }) => what === row.what && plan === row.plan && tokens === row.tokens,
    )
    if (earlier === undefined || !samePlan(row.plan)) return []
    const { what, plan, tokens, ms } = row
    const ratio = ms / earlier.ms
    const slower = ratio > 1 + threshold && Math.max(ms, earlier.ms) >= MIN_JUDGED_MS
    return [{ what, plan, tokens, ms, earlierMs: earlier.ms, ratio, slower }]
  })
  const { version, commit, date } = report
  const slower = compared.filter((row) => row.slower).length
  return { file, version, commit, date, threshold, slower, rows: compared }
}

/** The comparison for a terminal. */
export function comparisonPage({ file, version, commit, date, threshold, slower, rows }: Comparison): string {
  const lines = rows.map((row) => [
    row.plan === null ? row.what : `${row.what}, ${row.plan}`,
    String(row.tokens),
    row.earlierMs.toFixed(3),
    row.ms.toFixed(3),
    row.ratio.toFixed(3),
    row.slower ? 'slower' : '',
  ])
  const build = commit === null ? version : `${version} (${commit})`
  return [
    `beside ${file}: ${build}, ${date}`,
    table([['what', 'tokens', 'ms then', 'ms now', 'now / then', ''], ...lines]),
    `${slower} of ${rows.length} rows take over ${formatPercent(threshold)} longer`,
  ].join('\n\n')
}
