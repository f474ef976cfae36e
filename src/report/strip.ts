import { isAttention } from '../model/architecture.js'
import type { Plan } from '../plan/plan.js'
import { html, type Html } from './html.js'

/** A plan as a strip: a column for each block, attention above feed-forward, as many columns a row as fit. */
export function stripOf(plan: Plan): Html {
  const blocks = Array.from({ length: plan.table.length / 2 }, (_, block) => block)
  const skipped = plan.skipped().length
  const reused = Object.keys(plan.reused()).length
  const kept = plan.table.length - skipped - reused
  return html`<ol class="strip">
      ${blocks.map((block) => html`<li><b>${block}</b>${cell(plan, 2 * block)}${cell(plan, 2 * block + 1)}</li>`)}
    </ol>
    <ul class="legend">
      <li><i class="attention"></i>attention</li>
      <li><i class="ffn"></i>feed-forward</li>
      <li>${kept} run with their own weights</li>
      ${reused > 0 && html`<li><i class="reuse"></i>${reused} run with the weights of the sub-block named</li>`}
      ${skipped > 0 && html`<li><i class="skipped"></i>${skipped} skipped</li>`}
      ${plan.compensation && html`<li>+ rank-${plan.compensation.rank} compensation of the output</li>`}
      ${plan.scales.some((scale) => scale !== 1) && html`<li>×: residual scale, where it is not 1</li>`}
    </ul>`
}

function cell(plan: Plan, position: number): Html {
  const source = plan.table[position] ?? null
  const scale = plan.scales[position]!
  const exact = scale === 1 ? '' : ` at residual scale ${scale}`
  const times = scale === 1 ? undefined : html`<small>×${Number(scale.toPrecision(2))}</small>`
  const half = isAttention(position) ? 'attention' : 'feed-forward'
  const place = `sub-block ${position}, ${half} of block ${Math.floor(position / 2)}`
  if (source === null) return html`<span class="cell skipped" title="${place}: skipped">·</span>`
  if (source === position) {
    return html`<span
      class="cell ${isAttention(position) ? 'attention' : 'ffn'}"
      title="${place}: kept${exact}"
      >${source}${times}</span
    >`
  }
  return html`<span class="cell reuse" title="${place}: runs with ${source}'s weights${exact}"
    >${source}${times}</span
  >`
}
