import { isAttention, subBlockCount, type Architecture } from '../model/architecture.js'
import { blocksOf } from '../model/parameters.js'
import { fingerprint } from '../model/fingerprint.js'
import { Plan } from '../plan/plan.js'

/** Half the strength of the residual that is missing: a neighbour at full strength is often worse than none. */
const REUSE_SCALE = 0.5

/**
 * A plan of about `sparsity` for any architecture, made by a rule and without calibration: it shows what a plan of that size costs,
 * not which plan is good. Sub-blocks of every other block are dropped, then from the middle outwards, never those of
 * the first and last block. Dropped attentions re-use the nearest one that runs; dropped feed-forwards are skipped.
 */
export function illustrativePlan(architecture: Architecture, sparsity: number): Plan {
  const dropped: number[] = []
  const distance = (): number =>
    Math.abs(Plan.skip(blocksOf(architecture), dropped).sparsity(architecture) - sparsity)
  for (const subBlock of dropOrder(blocksOf(architecture))) {
    const before = distance()
    dropped.push(subBlock)
    if (distance() > before) dropped.pop()
  }
  const runs = (p: number): boolean => !dropped.includes(p)
  const kept = [...Array(subBlockCount(architecture)).keys()].filter(runs)
  const reuse = Object.fromEntries(
    dropped.filter(isAttention).map((p) => [p, nearest(kept.filter(isAttention), p)]),
  )
  const plan = Plan.skip(blocksOf(architecture), dropped, reuse)
  return plan.with({
    scales: plan.table.map((source, p) => (source === p ? 1 : REUSE_SCALE)),
    fingerprint: fingerprint(architecture),
    provenance: { method: 'illustrative: every other block, then from the middle; not calibrated' },
  })
}

function dropOrder(blocks: number): number[] {
  const inner = [...Array(blocks).keys()].slice(1, -1)
  const middle = blocks / 2
  const others = inner
    .filter((block) => block % 2 === 1)
    .sort((a, b) => Math.abs(a - middle) - Math.abs(b - middle))
  return [...inner.filter((block) => block % 2 === 0), ...others].flatMap((block) => [
    2 * block,
    2 * block + 1,
  ])
}

const nearest = (candidates: readonly number[], p: number): number =>
  candidates.reduce((best, candidate) => (Math.abs(candidate - p) < Math.abs(best - p) ? candidate : best))
