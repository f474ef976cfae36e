import * as Plot from '@observablehq/plot'
import domino from '@mixmark-io/domino'
import { formatBytes } from '../format.js'
import { MOST_NULL_NORM } from '../select/null-norm.js'
import type { CoursePoint } from './course.js'
import { Html } from './html.js'

/**
 * Static SVG by Observable Plot, drawn when the report is written: it needs no script to be seen, and prints. Colours are the
 * page's CSS variables, so that the charts follow its light and dark.
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

/** Room for the axes' labels, and around the first and last point. */
const FRAME = { marginLeft: 44, marginBottom: 42, marginTop: 24, insetLeft: 12, insetRight: 12 }

const axis = (label: string): Axis => ({ label, labelAnchor: 'center', labelOffset: 36, labelArrow: 'none' })

const logAxis = (label: string, values: readonly number[]): Axis => ({
  type: 'log',
  domain: [Math.min(...values) / 1.25, Math.max(...values) * 1.35],
  label,
  labelArrow: 'none',
  grid: true,
  ticks: 5,
  tickFormat: shortNumber,
})

const PHASES = { skip: 'var(--ffn)', reuse: 'var(--reuse)', refine: 'var(--ours)' }

/** D after each removal, and after each later step; beams that were not the best, faint. */
export function courseChart(
  course: readonly CoursePoint[],
  others: readonly { x: number; D: number; label: string }[],
): Html {
  const colour = ({ phase }: CoursePoint): string => PHASES[phase]
  const positive = [...course, ...others].filter(({ D }) => D > 0).map(({ D }) => D)
  const removed = course.filter(({ phase }) => phase === 'skip')
  return responsive((width) => {
    const most = Math.floor(width / 40)
    const every = Math.ceil(removed.length / most)
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

/** Each removal by its sub-block's number; upright where the points are too near for that. @param room pixels a point */
function labels(removed: readonly CoursePoint[], room: number): Plot.Markish {
  const turned = room < 19 ? ({ rotate: -90, textAnchor: 'start', dy: -8 } as const) : { dy: -11 }
  const look = { fill: 'var(--ink)', stroke: 'var(--card)', strokeWidth: 3, fontSize: 10.5 }
  return Plot.text(removed, { x: 'x', y: 'D', text: 'label', ...turned, ...look })
}

export interface MethodPoints {
  readonly name: string
  readonly colour: string
  readonly course: readonly { bytes: number; D: number }[]
  readonly end: { readonly bytes: number; readonly D: number }
}

/** Every method's plans by what they weigh: a line for a course, a ring for the plan that was chosen. */
export function bytesChart(methods: readonly MethodPoints[], denseBytes: number): Html {
  const ends = methods.map(({ name, colour, end }) => ({ name, colour, ...end }))
  const all = [...ends, ...methods.flatMap(({ course }) => course)].filter(({ D }) => D > 0)
  const colour = (point: { colour: string }): string => point.colour
  return responsive((width) => ({
    ...FRAME,
    x: {
      ...axis('weights'),
      ticks: Math.floor(width / 85),
      tickFormat: formatBytes,
      domain: [Math.min(...all.map(({ bytes }) => bytes)) * 0.98, denseBytes],
    },
    y: logAxis(
      'D',
      all.map(({ D }) => D),
    ),
    marks: [
      ...methods.flatMap(({ name, course, colour: stroke }) => {
        const points = course.filter(({ D }) => D > 0)
        const title = ({ D }: { D: number }): string => `${name}: D ${D.toPrecision(4)}`
        return [
          Plot.line(points, { x: 'bytes', y: 'D', stroke, strokeWidth: 1.75 }),
          Plot.dot(points, { x: 'bytes', y: 'D', fill: stroke, r: 2.75, title }),
        ]
      }),
      Plot.dot(
        ends.filter(({ D }) => D > 0),
        {
          x: 'bytes',
          y: 'D',
          r: 5.5,
          stroke: colour,
          strokeWidth: 2.5,
          fill: 'var(--card)',
          title: ({ name, D }: { name: string; D: number }) => `${name}: D ${D.toPrecision(4)}`,
        },
      ),
    ],
  }))
}

/** The null condition's norm over the dense encoder's, by method; the band is where it is not warned of. */
export function nullChart(methods: readonly { name: string; colour: string; ratio: number }[]): Html {
  const far = Math.max(2, ...methods.map(({ ratio }) => Math.max(ratio, 1 / ratio) * 1.15))
  const longest = Math.max(...methods.map(({ name }) => name.length))
  return responsive((width) => ({
    marginBottom: 42,
    height: 66 + 26 * methods.length,
    marginLeft: Math.min(150, 16 + 7 * longest),
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
      Plot.rectX([1], { x1: 1 / MOST_NULL_NORM, x2: MOST_NULL_NORM, fill: 'var(--good)', fillOpacity: 0.14 }),
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

/** @param values [n, n] cosines; @param domain colours' ends; @param labels [n] of rows and columns */
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
