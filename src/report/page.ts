import { blocksOf } from '../model/parameters.js'
import { formatBytes, formatCount, formatPercent } from '../io/format.js'
import { Plan } from '../plan/plan.js'
import type { Selection } from '../select/index.js'
import { MAX_NULL_NORM, nullNormIsOff } from '../select/measure/null-norm.js'
import { weightBytes } from '../select/measure/target.js'
import { Html, html, type Content } from './html.js'
import { methodName } from './method.js'
import type { ReportContext } from './context.js'
import {
  courseSection,
  bytesSection,
  methodsTable,
  nullSection,
  similaritySection,
  workSection,
} from './sections.js'
import { stripOf } from './strip.js'
import { STYLE } from './style.js'

/** The whole page. The policy in its head forbids a browser to fetch or run anything, whatever the page holds. */
export function reportPage(chosen: Selection, others: readonly Selection[], context: ReportContext): string {
  const all = [chosen, ...others]
  const { similarity } = context
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>Plan for ${context.model}</title>
        <style>
          ${new Html(STYLE)}
        </style>
      </head>
      <body>
        <main>
          ${headline(chosen, context)} ${nullWarning(all)}
          <section>
            <h2>The plan</h2>
            ${stripOf(chosen.plan)}
          </section>
          <div class="columns">
            ${courseSection(chosen, context)} ${bytesSection(all, context)} ${nullSection(all)}
            ${workSection(chosen, similarity)}
          </div>
          ${methodsTable(all, context)} ${similarity && similaritySection(similarity)}
          ${useSection(chosen, context)}
        </main>
      </body>
    </html> `.text
}

function headline(chosen: Selection, { architecture, precision, model }: ReportContext): Html {
  const { plan, D, relative, nullNorm, work, trace } = chosen
  const bytes = weightBytes(plan, architecture, precision)
  const dense = weightBytes(Plan.dense(blocksOf(architecture)), architecture, precision)
  const figures: [label: string, value: Content, note: Content][] = [
    ['weights', formatBytes(bytes), `of ${formatBytes(dense)} in ${precision}, token embedding included`],
    ['sparsity', formatPercent(plan.sparsity(architecture)), `target: ${targetText(plan)}`],
    [
      'D',
      D.total.toPrecision(4),
      `calibration ${D.calibration.toPrecision(3)}, null ${D.null.toPrecision(3)}`,
    ],
    // only a squared error is a share of the features' squares
    ...(trace.metric === 'mse'
      ? [
          [
            'relative error',
            formatPercent(relative.calibration),
            `null condition: ${formatPercent(relative.null)}`,
          ] as [string, string, string],
        ]
      : []),
    [
      'null norm',
      `×${nullNorm.toPrecision(3)}`,
      nullNormIsOff(nullNorm) ? 'of the dense one: too far' : 'of the dense one',
    ],
    workFigure(work),
  ]
  return html`<header>
      <h1>${methodName(chosen)} plan</h1>
      <p>${model} · ${blocksOf(architecture)} blocks of width ${architecture.width} · ${describe(chosen)}</p>
    </header>
    <dl class="figures">
      ${figures.map(
        ([label, value, note]) =>
          html`<div>
            <dt>${label}</dt>
            <dd>${value}<small>${note}</small></dd>
          </div>`,
      )}
    </dl>`
}

function describe({ plan, trace }: Selection): string {
  const tokens = plan.provenance?.['tokens']
  return [
    `metric ${trace.metric}, ${trace.projection ? 'after the projection' : 'without a projection'}`,
    ...(trace.k === undefined ? [] : [`${trace.k} ${trace.k === 1 ? 'beam' : 'beams'}`]),
    ...(typeof tokens === 'number'
      ? [`${formatCount(tokens)} calibration tokens, null condition included`]
      : []),
  ].join(' · ')
}

function targetText({ provenance }: Plan): string {
  const { sparsity, bytes, skipCount } = (provenance?.['target'] ?? {}) as Record<string, number | undefined>
  if (sparsity !== undefined) return formatPercent(sparsity)
  if (bytes !== undefined) return formatBytes(bytes)
  return skipCount === undefined ? 'none' : `${skipCount} sub-blocks removed`
}

function nullWarning(selections: readonly Selection[]): Html | undefined {
  const off = selections.filter(({ nullNorm }) => nullNormIsOff(nullNorm))
  if (off.length === 0) return undefined
  const list = off.map((selection) => `${methodName(selection)} ×${selection.nullNorm.toPrecision(3)}`)
  return html`<p class="warning">
    <strong>The null condition's norm is off</strong> by more than ${MAX_NULL_NORM} times: ${list.join('; ')}.
    Classifier-free guidance subtracts the null condition, so guided images suffer from that even where D is
    small.
  </p>`
}

function useSection({ plan }: Selection, { model, plan: file }: ReportContext): Html {
  const command = `skrr encode --model ${quoted(model)} --plan ${quoted(file)} --prompt "a cat made of glass" --out cat.safetensors`
  return html`<section>
    <h2>Use it</h2>
    <pre>${command}</pre>
    <details>
      <summary>The plan's file</summary>
      <pre>${planText(plan)}</pre>
    </details>
  </section>`
}

/** The plan's file without a compensation's numbers. */
function planText(plan: Plan): string {
  const { compensation } = plan.toJSON()
  if (compensation === undefined) return plan.stringify()
  return plan.stringify().replace(compensation.down, '...').replace(compensation.up, '...')
}

/** A method that evaluates few plans or none saves nothing. */
function workFigure({ naive, executed }: Selection['work']): [string, Content, Content] {
  return naive > executed
    ? ['work', `${(naive / Math.max(1, executed)).toFixed(1)}× less`, 'than measuring every plan in full']
    : ['work', formatCount(executed), 'sub-block executions × tokens']
}

/** As a POSIX shell takes it. */
const quoted = (path: string): string =>
  /^[\w@%+=:,./-]+$/.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`
