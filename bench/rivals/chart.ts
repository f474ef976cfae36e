/**
 * The README's chart: milliseconds a forward, a panel a size. Static SVG by Observable Plot that carries its own colours for
 * light and dark pages.
 */
import domino from '@mixmark-io/domino'
import * as Plot from '@observablehq/plot'
import { BITS, median, SOFTWARE, type Results, type Row, type Software } from './results.js'

const STYLE = `
:root { --ink: #1d2327; --muted: #68717a; --line: #e4e2db; --ours: #c2255c; --theirs: #a7b0ba; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e8eaec; --muted: #98a2ab; --line: #30363d; --ours: #f2729c; --theirs: #5b6672; }
}
text { font-family: system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif; }`

const WIDTH = 880
const HEIGHT = 420
/** Left of the first panel: whose bar it is. */
const NAMES = 96
/** Right of the last one: how many bits. */
const GROUPS = 62
/** Of a panel, for the milliseconds at the end of its longest bar. */
const ROOM = 1.28

const document = domino.createDocument()

function panel(
  rows: readonly Row[],
  software: readonly Software[],
  size: string,
  i: number,
  panels: number,
): string {
  const inner = (WIDTH - NAMES - GROUPS) / panels
  const [first, last] = [i === 0, i === panels - 1]
  const longest = Math.max(...rows.map(median))
  const ours = ({ software }: Row): boolean => software === 'skrr'
  const [batch, tokens] = size.split('x')
  const figure: unknown = Plot.plot({
    document,
    className: `panel${i}`,
    width: inner + (first ? NAMES : 0) + (last ? GROUPS : 0),
    height: HEIGHT,
    marginLeft: first ? NAMES : 8,
    marginRight: last ? GROUPS : 0,
    marginTop: 34,
    marginBottom: 6,
    style: { background: 'none', color: 'var(--ink)', fontSize: '12px' },
    x: { axis: null, domain: [0, ROOM * longest] },
    y: { domain: software, axis: first ? 'left' : null, label: null, tickSize: 0, padding: 0.22 },
    fy: {
      domain: [...BITS],
      axis: last ? 'right' : null,
      label: null,
      tickFormat: (bits: number) => `${bits} bits`,
      padding: 0.14,
    },
    marks: [
      Plot.barX(rows, {
        x: median,
        y: 'software',
        fy: 'bits',
        fill: (row: Row) => (ours(row) ? 'var(--ours)' : 'var(--theirs)'),
        rx: 2,
      }),
      Plot.text(rows, {
        x: median,
        y: 'software',
        fy: 'bits',
        text: (row: Row) => median(row).toFixed(median(row) < 100 ? 1 : 0),
        textAnchor: 'start',
        dx: 5,
        fill: 'var(--ink)',
      }),
      Plot.ruleX([0], { stroke: 'var(--muted)' }),
    ],
  })
  const svg = (figure as { outerHTML: string }).outerHTML
  const left = i * inner + (first ? 0 : NAMES)
  const start = first ? NAMES : 8
  const title = `<text x="${start}" y="20" font-size="13" font-weight="600" fill="var(--ink)">${batch} × ${tokens} tokens, ms</text>`
  return `<g transform="translate(${left} 0)">${svg}${title}</g>`
}

export function chart({ sizes }: Results): string {
  const all = Object.entries(sizes)
  const software = SOFTWARE.filter((name) =>
    all.some(([, { rows }]) => rows.some((row) => row.software === name)),
  )
  const panels = all.map(([size, { rows }], i) => panel(rows, software, size, i, all.length))
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">`,
    `<title>Milliseconds a forward of two T5-XXL blocks</title><style>${STYLE}</style>`,
    ...panels,
    '</svg>',
    '',
  ].join('\n')
}
