import { blocksOf } from '../model/parameters.js'
import { formatBytes, formatCount, formatPercent } from '../io/format.js'
import { Plan } from '../plan/plan.js'
import type { Selection } from '../select/index.js'
import { MAX_NULL_NORM } from '../select/measure/null-norm.js'
import type { Similarity } from '../select/measure/similarity.js'
import { weightBytes } from '../select/measure/target.js'
import { bytesChart, courseChart, gradient, heatMap, nullChart, type MethodPoints } from './charts.js'
import { courseOf, isComparable, otherBeams } from './course.js'
import { Html, html } from './html.js'
import { methodName } from './method.js'
import type { ReportContext } from './context.js'

const COLOURS = 6

/** D over the course of the search; nothing where the method takes no D on its way. */
export function courseSection(
  chosen: Selection,
  { architecture, precision }: ReportContext,
): Html | undefined {
  const course = courseOf(chosen, architecture, precision).filter(({ D }) => D > 0)
  if (course.length === 0) return undefined
  const own = isComparable(chosen)
    ? ''
    : " Its own D, taken on the encoder's output: not that of the other figures."
  return html`<section>
    <h2>D after each removal</h2>
    <p>
      Each point is labelled with the sub-block removed; small dots are the beams that were not the
      best.${own}
    </p>
    ${courseChart(course, otherBeams(chosen))}
    <ul class="legend">
      ${phases(course.map(({ phase }) => phase))}
    </ul>
  </section>`
}

function phases(present: readonly string[]): Html[] {
  const all: [string, string, string][] = [
    ['skip', 'ffn', 'removals'],
    ['reuse', 'reuse', 're-use'],
    ['refine', 'ours', 'local search at the same bytes'],
    ['compensate', 'attention', 'compensation, fitted to these prompts'],
  ]
  return all
    .filter(([phase]) => present.includes(phase))
    .map(([, colour, text]) => html`<li>${swatch(`var(--${colour})`)}${text}</li>`)
}

/** D against bytes for all selections; nothing for a single point. */
export function bytesSection(selections: readonly Selection[], context: ReportContext): Html | undefined {
  const { architecture, precision } = context
  const names = namesOf(selections)
  const methods = names.map((name) => {
    const own = selections.filter((selection) => methodName(selection) === name)
    return { name, colour: colourOf(names, own[0]!), ...pointsOf(own, context) }
  })
  const points = methods.flatMap(({ line, ends }) => [...new Set([...line, ...ends])])
  if (points.filter(({ D }) => D > 0).length < 2) return undefined
  const dense = weightBytes(Plan.dense(blocksOf(architecture)), architecture, precision)
  const legend = names.map((name, i) => html`<li>${swatch(`var(--m${(i % COLOURS) + 1})`)}${name}</li>`)
  return html`<section>
    <h2>D against bytes</h2>
    <p>Logarithmic. Rings are the plans chosen; dots, where fewer sub-blocks were removed.</p>
    ${bytesChart(methods, dense)}
    <ul class="legend">
      ${legend}
    </ul>
  </section>`
}

/** The plans one method chose, one for each target, and a line through them; for a single plan, through its removals. */
function pointsOf(
  selections: readonly Selection[],
  { architecture, precision }: ReportContext,
): Pick<MethodPoints, 'line' | 'ends'> {
  const ends = selections.map(({ plan, D }) => ({
    bytes: weightBytes(plan, architecture, precision),
    D: D.total,
  }))
  if (ends.length > 1) return { ends, line: ends.toSorted((a, b) => a.bytes - b.bytes) }
  const [selection] = selections
  const course = isComparable(selection!) ? courseOf(selection!, architecture, precision) : []
  const removals = course.filter(({ phase }) => phase === 'skip')
  return { ends, line: removals.length > 0 ? [...removals, ...ends] : [] }
}

/** The figures of all selections, ordered by method; nothing for a single selection. */
export function methodsTable(
  selections: readonly Selection[],
  { architecture, precision }: ReportContext,
): Html | undefined {
  if (selections.length < 2) return undefined
  const byMethod = namesOf(selections).flatMap((name) =>
    selections.filter((selection) => methodName(selection) === name),
  )
  const rows = byMethod.map(
    (selection) =>
      html`<tr class="${selection === selections[0] ? 'chosen' : ''}">
        <td>${methodName(selection)}</td>
        <td>${formatPercent(selection.plan.sparsity(architecture))}</td>
        <td class="optional">${formatBytes(weightBytes(selection.plan, architecture, precision))}</td>
        <td>${selection.D.total.toPrecision(3)}</td>
        <td class="optional">${selection.D.calibration.toPrecision(3)}</td>
        <td class="optional">${selection.D.null.toPrecision(3)}</td>
        <td>×${selection.nullNorm.toPrecision(3)}</td>
      </tr>`,
  )
  return html`<section>
    <h2>The methods beside each other</h2>
    <table>
      <thead>
        <tr>
          <th>method</th>
          <th>sparsity</th>
          <th class="optional">weights</th>
          <th>D</th>
          <th class="optional">calibration</th>
          <th class="optional">null</th>
          <th>null norm</th>
        </tr>
      </thead>
      <tbody>
        ${rows}
      </tbody>
    </table>
  </section>`
}

export function nullSection(selections: readonly Selection[]): Html {
  const names = namesOf(selections)
  // of each method, the ratio farthest from 1
  const points = names.map((name) => {
    const own = selections.filter((selection) => methodName(selection) === name)
    const far = ({ nullNorm }: Selection): number => Math.abs(Math.log(nullNorm))
    const worst = own.reduce((a, b) => (far(b) > far(a) ? b : a))
    return { name, colour: colourOf(names, worst), ratio: worst.nullNorm }
  })
  const drawable = points.filter(({ ratio }) => ratio > 0 && Number.isFinite(ratio))
  return html`<section>
    <h2>The null condition's norm</h2>
    <p>
      Against the dense encoder's. Outside the band (more than ${MAX_NULL_NORM} times off) guided images
      suffer, whatever D says.
    </p>
    ${drawable.length > 0 && nullChart(drawable)}
  </section>`
}

export function workSection({ work }: Selection, similarity: Similarity | undefined): Html {
  const max = Math.max(1, work.naive, work.executed)
  const bar = (label: string, amount: number, kind: string): Html =>
    html`<div class="row"><span>${label}</span><span>${formatCount(amount)}</span></div>
      <div class="bar">
        <i class="${kind}" style="width: ${Math.min(100, (100 * amount) / max)}%"></i>
      </div>`
  return html`<section>
    <h2>Work</h2>
    <p>Executions of a sub-block × tokens, which is the same on every machine.</p>
    ${work.naive > 0 && bar('measuring every plan in full', work.naive, 'naive')}${bar('done', work.executed, 'done')}
    ${similarity && bar('on top of that, for the heat maps', similarity.executed, 'done')}
  </section>`
}

export function similaritySection({ hidden, attention, feedForward, tokens, ofTokens }: Similarity): Html {
  const domain = (...maps: (readonly (readonly number[])[])[]): [number, number] => [
    Math.min(...maps.flat(2)),
    1,
  ]
  const stream = domain(hidden)
  const residuals = domain(attention, feedForward)
  const blocks = attention.map((_, block) => String(block))
  return html`<section>
    <h2>Similarity</h2>
    <p>
      Mean cosine over ${formatCount(tokens)} of ${formatCount(ofTokens)} calibration tokens, in the dense
      encoder. Bright squares beside the diagonal are where sub-blocks change little or do much the same: what
      skipping and re-use live on.
    </p>
    <div class="maps">
      ${map(
        'Residual stream after i and j sub-blocks',
        heatMap(
          hidden,
          stream,
          hidden.map((_, i) => String(i)),
        ),
        stream,
      )}
      ${map('Attention of two blocks, one input', heatMap(attention, residuals, blocks), residuals)}
      ${map('Feed-forward of two blocks, one input', heatMap(feedForward, residuals, blocks), residuals)}
    </div>
  </section>`
}

const map = (title: string, picture: Html, [min, max]: [number, number]): Html =>
  html`<div>
    <h3>${title}</h3>
    ${picture}
    <div class="ramp" style="background: ${gradient()}"></div>
    <div class="row"><span>${min.toFixed(2)}</span><span>${max.toFixed(2)}</span></div>
  </div>`

const colourOf = (names: readonly string[], selection: Selection): string =>
  `var(--m${(names.indexOf(methodName(selection)) % COLOURS) + 1})`

const namesOf = (selections: readonly Selection[]): string[] => [...new Set(selections.map(methodName))]

const swatch = (colour: string): Html => html`<i style="background: ${colour}"></i>`
