import pc from 'picocolors'
import { feedForwardOf, type Architecture } from '../model/architecture.js'
import { fingerprint } from '../model/fingerprint.js'
import { blocksOf, fixedParameters } from '../model/parameters.js'
import type { Precision } from '../model/precision.js'
import type { NativeBench, NativeBenchRow } from '../native/addon.js'
import type { Device } from '../native/device.js'
import { Plan } from '../plan/plan.js'
import { strip } from '../plan/strip.js'
import type { Machine } from './bench-machine.js'
import { fields, formatPercent, table } from './terminal.js'

/** What is measured. */
export interface Subject {
  readonly architecture: Architecture
  readonly device: Device
  readonly precision: Precision
  readonly deviceName: string
  /** By name, every precision named; the first is dense. */
  readonly plans: Readonly<Record<string, Plan>>
}

/** A row as the JSON has it. */
export interface ReportRow {
  readonly what: string
  /** Of a whole encoder. */
  readonly plan: string | null
  readonly tokens: number
  readonly ms: number
}

/** The least time that the machine allows, as a share of the time taken. */
const roofline = ({ minSeconds, seconds }: NativeBenchRow): number => minSeconds / seconds

export const rowsOf = ({ rows }: NativeBench) =>
  rows.map((row) => ({
    what: row.what,
    plan: row.plan === '' ? null : row.plan,
    tokens: row.tokens,
    ms: row.seconds * 1e3,
    lowerQuartileMs: row.lower * 1e3,
    upperQuartileMs: row.upper * 1e3,
    bytesPerSecond: row.bytes / row.seconds,
    flopsPerSecond: row.flops / row.seconds,
    roofline: roofline(row),
  }))

/** The report as JSON. */
export const summary = (
  { architecture, device, precision, deviceName, plans }: Subject,
  machine: Machine,
  measured: NativeBench,
) => ({
  ...machine,
  device: device.name,
  deviceName,
  precision,
  shape: fingerprint(architecture),
  architecture,
  ceilings: {
    memoryBytesPerSecond: measured.memory,
    memoryBy: measured.memoryBy,
    multiplyFlopsPerSecond: measured.multiply,
    multiplyBy: measured.multiplyBy,
    float32FlopsPerSecond: measured.float32,
  },
  plans: Object.entries(plans).map(([name, plan]) => ({
    name,
    sparsity: plan.sparsity(architecture),
    table: plan.table,
  })),
  rows: rowsOf(measured),
})

const perSecond = (rate: number, unit: number, digits: number): string =>
  rate === 0 ? '' : (rate / unit).toFixed(digits)

/** The report for a terminal. */
export function page(
  { architecture, device, precision, deviceName, plans }: Subject,
  { version, commit, isa, threads, load, cores }: Machine,
  measured: NativeBench,
): string {
  const blocks = blocksOf(architecture)
  const parameters = Plan.dense(blocks).parameters(architecture) - fixedParameters(architecture)
  const { width } = architecture
  const { memory, memoryBy, multiply, multiplyBy } = measured
  const head = fields([
    [
      'skrr',
      `${version}${commit === null ? '' : ` (${commit})`}, ${isa}${threads === null ? '' : `, ${threads} threads`}`,
    ],
    ['device', `${deviceName} (${device.name}, ${precision}), load ${load.toFixed(2)} on ${cores} cores`],
    [
      'encoder',
      `${blocks} blocks, width ${width}, ff ${feedForwardOf(architecture)?.inner}: ${(parameters / 1e6).toFixed(0)} M random weights`,
    ],
    ['memory', `${(memory / 1e9).toFixed(1)} GB/s (${memoryBy})`],
    ['multiplies', `${(multiply / 1e12).toFixed(2)} TFLOP/s at best (${multiplyBy})`],
  ])
  const rows = measured.rows.map((row) => [
    row.plan === '' ? row.what : `${row.what}, ${row.plan}`,
    String(row.tokens),
    (row.seconds * 1e3).toFixed(3),
    `${(row.lower * 1e3).toFixed(3)}-${(row.upper * 1e3).toFixed(3)}`,
    perSecond(row.bytes / row.seconds, 1e9, 1),
    perSecond(row.flops / row.seconds, 1e12, 2),
    formatPercent(roofline(row)),
  ])
  const titles = ['what', 'tokens', 'ms', 'quartiles', 'GB/s', 'TFLOP/s', 'roofline']
  const [, [name, plan] = ['', Plan.dense(blocks)]] = Object.entries(plans)
  const shown = `${name}, ${formatPercent(plan.sparsity(architecture))} of the parameters not loaded`
  return [head, table([titles, ...rows]), shown, strip(plan, { color: pc.isColorSupported })].join('\n\n')
}
