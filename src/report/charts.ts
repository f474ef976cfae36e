import * as Plot from '@observablehq/plot'
import domino from '@mixmark-io/domino'
import { formatBytes } from '../io/format.js'
import { MAX_NULL_NORM } from '../select/measure/null-norm.js'
import type { CoursePoint } from './course.js'
import { Html } from './html.js'

/**
 * Static SVG by Observable Plot, drawn when the report is written: it shows without a script, and prints. Colours are the page's
 * CSS variables, so that the charts follow its light and dark themes.
 */

type Options = NonNullable<Parameters<typeof Plot.plot>[0]>
type Axis = NonNullable<Options['y']>

const document = domino.createDocument()
const SCHEME = 'viridis'

/** A line chart at two widths; the page shows the one that fits, so that text keeps its size. */
function responsive(draw: (width: number) => Options): Html {
  const variant = (name: string, width: number): string =>
    `<div class="${name}">${svg({ width, height: Math.round(width * 0.62), ...draw(width) })}</div>`
  return new Html(variant('wide', 500) + variant('narrow', 330))
}

function svg(options: Options): string {
  const figure: unknown = Plot.plot({
    className: 'plot',
    style: { fontSize: '12px', background: 'none', fontFamily: 'inherit' },
    ...options,
    document,
  })
  return (figure as { outerHTML: string }).outerHTML
}

/** Margins hold the axes' labels; insets keep the first and last point off the edge. */
const FRAME = { marginLeft: 44, marginBottom: 42, marginTop: 24, insetLeft: 12, insetRight: 12 }

const axis = (label: string): Axis => ({ label, labelAnchor: 'center', labelOffset: 36, labelArrow: 'none' })

function logAxis(label: string, values: readonly number[]): Axis {
  const domain: [number, number] = [Math.min(...values) / 1.25, Math.max(...values) * 1.35]
  return {
    ...{ type: 'log', domain, label, labelArrow: 'none' },
    ...{ grid: true, ticks: roundNumbers(...domain), tickSize: 0, tickFormat: shortNumber },
  }
}

/** 1, 2 and 5 of each decade, as long as they are few. */
function roundNumbers(min: number, max: number): number[] {
  const decades = Array.from(
    { length: Math.ceil(Math.log10(max)) - Math.floor(Math.log10(min)) + 1 },
    (_, i) => 10 ** (Math.floor(Math.log10(min)) + i),
  )
  const steps = decades.length > 4 ? [1] : [1, 2, 5]
  return decades
    .flatMap((decade) => steps.map((step) => step * decade))
    .filter((value) => value >= min && value <= max)
}

const PHASES = {
  skip: 'var(--ffn)',
  reuse: 'var(--reuse)',
  refine: 'var(--ours)',
  compensate: 'var(--attention)',
}

/** D after each removal and each later change; the other beams are drawn faint. */
export function courseChart(
  course: readonly CoursePoint[],
  others: readonly { x: number; D: number; label: string }[],
): Html {
  const colour = ({ phase }: CoursePoint): string => PHASES[phase]
  const positive = [...course, ...others].filter(({ D }) => D > 0).map(({ D }) => D)
  const removed = course.filter(({ phase }) => phase === 'skip')
  return responsive((width) => {
    const maxTicks = Math.floor(width / 40)
    const every = Math.ceil(removed.length / maxTicks)
    const ticks = removed.map(({ x }) => x).filter((x) => x % every === 0)
    return {
      ...FRAME,
      x: { ...axis('sub-blocks removed'), ticks, tickFormat: 'd' },
      y: logAxis('D', positive),
      marks: [
        Plot.dot(others, { x: 'x', y: 'D', r: 2, fill: 'var(--muted)', fillOpacity: 0.55, title: 'label' }),
        Plot.line(course, { x: 'x', y: 'D', stroke: colour, z: null, strokeWidth: 1.75 }),
        Plot.dot(course, {
          x: 'x',
          y: 'D',
          fill: colour,
          r: 3.25,
          title: ({ label, D }: CoursePoint) => `${label}: D ${D.toPrecision(4)}`,
        }),
        labels(removed, width / course.at(-1)!.x),
      ],
    }
  })
}

/** Labels each removal with its sub-block's number, turned where the points are too near. @param room pixels a point */
function labels(removed: readonly CoursePoint[], room: number): Plot.Markish {
  const turned = room < 19 ? ({ rotate: -90, textAnchor: 'start', dy: -8 } as const) : { dy: -11 }
  const look = { fill: 'var(--ink)', stroke: 'var(--card)', strokeWidth: 3, fontSize: 10.5 }
  return Plot.text(removed, { x: 'x', y: 'D', text: 'label', ...turned, ...look })
}

type Point = Readonly<{ bytes: number; D: number }>

export interface MethodPoints {
  readonly name: string
  readonly colour: string
  /** Plans of the method at other bytes; empty where it was not run there. */
  readonly line: readonly Point[]
  /** Plans that were chosen. */
  readonly ends: readonly Point[]
}

/** Every method's plans by their bytes; the first method is drawn last, on top. A D of 0 has no place on a logarithmic axis. */
export function bytesChart(methods: readonly MethodPoints[], denseBytes: number): Html {
  const shown = ({ D }: Point): boolean => D > 0
  const all = methods.flatMap(({ line, ends }) => [...line, ...ends]).filter(shown)
  const minBytes = Math.min(...all.map(({ bytes }) => bytes))
  return responsive((width) => ({
    ...FRAME,
    x: {
      ...axis('weights'),
      ...{ ticks: Math.floor(width / 85), tickFormat: formatBytes, domain: [0.98 * minBytes, denseBytes] },
    },
    y: logAxis(
      'D',
      all.map(({ D }) => D),
    ),
    marks: methods.toReversed().flatMap(({ name, colour, line, ends }) => {
      const place = { x: 'bytes', y: 'D', title: ({ D }: Point) => `${name}: D ${D.toPrecision(4)}` }
      return [
        Plot.line(line.filter(shown), { x: 'bytes', y: 'D', stroke: colour, strokeWidth: 1.75 }),
        Plot.dot(line.filter(shown), { ...place, fill: colour, r: 2.75 }),
        Plot.dot(ends.filter(shown), {
          ...place,
          r: 5.5,
          stroke: colour,
          strokeWidth: 2.5,
          fill: 'var(--card)',
        }),
      ]
    }),
  }))
}

/** The null condition's norm over the dense encoder's, by method; outside the band the page warns. */
export function nullChart(methods: readonly { name: string; colour: string; ratio: number }[]): Html {
  const far = Math.max(2, ...methods.map(({ ratio }) => Math.max(ratio, 1 / ratio) * 1.15))
  const longest = Math.max(...methods.map(({ name }) => name.length))
  return responsive((width) => ({
    marginBottom: 42,
    height: 66 + 26 * methods.length,
    marginLeft: Math.min(168, 16 + 7 * longest),
    marginRight: 24,
    x: {
      type: 'log',
      domain: [1 / far, far],
      ...axis('null norm / dense'),
      ticks: width / 70,
      tickFormat: shortNumber,
    },
    y: { label: null, domain: methods.map(({ name }) => name), tickSize: 0 },
    marks: [
      Plot.rectX([1], { x1: 1 / MAX_NULL_NORM, x2: MAX_NULL_NORM, fill: 'var(--good)', fillOpacity: 0.14 }),
      Plot.ruleX([1], { stroke: 'var(--muted)', strokeDasharray: '3,3' }),
      Plot.dot(methods, {
        x: 'ratio',
        y: 'name',
        r: 5.5,
        fill: ({ colour }: { colour: string }) => colour,
        title: ({ ratio }: { ratio: number }) => ratio.toPrecision(3),
      }),
    ],
  }))
}

/** @param values [n, n] cosines; @param domain the values of the first and last colour; @param labels [n] of rows and columns */
export function heatMap(
  values: readonly (readonly number[])[],
  domain: readonly [number, number],
  labels: readonly string[],
): Html {
  const cells = values.flatMap((row, i) => row.map((value, j) => ({ i, j, value })))
  const every = Math.max(1, Math.ceil(labels.length / 9))
  const sides = {
    label: null,
    tickSize: 0,
    padding: 0,
    ticks: [...labels.keys()].filter((i) => i % every === 0),
    tickFormat: (i: number) => labels[i]!,
  }
  const side = labels.length * Math.ceil(300 / labels.length) // whole pixels a cell
  const margins = { marginLeft: 30, marginBottom: 24, marginTop: 4, marginRight: 6 }
  const picture = svg({
    ...margins,
    width: side + margins.marginLeft + margins.marginRight,
    height: side + margins.marginTop + margins.marginBottom,
    x: sides,
    y: sides,
    color: { type: 'linear', scheme: SCHEME, domain: [...domain] },
    marks: [
      Plot.cell(cells, {
        x: 'j',
        y: 'i',
        fill: 'value',
        inset: 0,
        shapeRendering: 'crispEdges',
        title: ({ i, j, value }: (typeof cells)[number]) => `${labels[i]}, ${labels[j]}: ${value.toFixed(3)}`,
      }),
    ],
  })
  return new Html(picture)
}

/** The heat maps' colours as a CSS gradient. */
export function gradient(): string {
  const scale = Plot.scale({ color: { type: 'linear', scheme: SCHEME, domain: [0, 1] } })
  const stops = Array.from({ length: 9 }, (_, i) => String(scale.apply(i / 8)))
  return `linear-gradient(to right, ${stops.join(', ')})`
}

const shortNumber = (value: number): string => String(Number(value.toPrecision(2)))
