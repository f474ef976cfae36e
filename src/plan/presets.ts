import { PlanError } from '../errors.js'
import { type Architecture } from '../model/architecture.js'
import { blocksOf } from '../model/parameters.js'
import { checkArgument, text } from '../io/arguments.js'
import { checkArchitecture } from '../model/check-architecture.js'
import { fingerprint } from '../model/fingerprint.js'
import { Plan } from './plan.js'

/**
 * The orders and maps published with Skrr (arXiv 2502.08690, Tables A1 to A6), all for T5-XXL, 24 blocks.
 * Sub-blocks 0 to 47; best to skip first.
 */
const BLOCKS = 24
const MEASURED_ON = 't5-24x4096-h64x64-ff10240-gated-gelu_tanh'
const SOURCE = 'arXiv 2502.08690'

const PIXART_SIGMA = [
  46, 5, 6, 47, 44, 2, 11, 24, 23, 17, 18, 45, 10, 30, 29, 40, 39, 38, 37, 42, 25, 22, 43, 36,
]
const SD3 = [46, 5, 45, 6, 11, 2, 22, 23, 17, 18, 30, 29, 43, 44, 20, 1, 41, 42, 40, 39, 38, 37, 21, 16]
const FLUX = [46, 45, 5, 6, 11, 20, 19, 22, 23, 30, 29, 47, 2, 44, 32, 31, 18, 17, 37, 36, 43, 40, 39, 42]
const FINERCUT = [46, 5, 11, 6, 47, 44, 20, 19, 18, 45, 40, 41, 1, 32, 31, 17, 24, 23, 3, 42, 43, 30, 38, 37]
/** whole blocks, not sub-blocks */
const SHORTGPT = [10, 11, 8, 9, 12, 13, 5, 14, 6, 4, 3, 7, 15, 17, 16, 18, 2, 19, 20, 21, 22, 1, 23, 0]

/** An order; each prefix of it is a preset, `name:N`. */
interface Order {
  readonly table: string
  readonly of: 'sub-blocks' | 'blocks'
  readonly order: readonly number[]
}

const ORDERS: Readonly<Record<string, Order>> = {
  'pixart-sigma': { table: 'A3', of: 'sub-blocks', order: PIXART_SIGMA },
  sd3: { table: 'A3', of: 'sub-blocks', order: SD3 },
  flux: { table: 'A3', of: 'sub-blocks', order: FLUX },
  finercut: { table: 'A2', of: 'sub-blocks', order: FINERCUT },
  shortgpt: { table: 'A1', of: 'blocks', order: SHORTGPT },
}

/** Skip and Re-use as published. The names carry the sparsity as computed; the paper's Table 1 prints 27.0 and 32.4. */
const MAPS: Readonly<Record<string, { skip: number; reuse: Readonly<Record<number, number>> }>> = {
  'pixart-sigma-24.3': { skip: 12, reuse: { 2: 4, 5: 7, 11: 13, 17: 19, 18: 16, 23: 21 } },
  'pixart-sigma-33.8': { skip: 17, reuse: { 2: 4, 5: 7, 6: 4, 11: 13, 17: 19, 18: 20, 23: 21 } },
  'pixart-sigma-41.9': {
    skip: 21,
    reuse: { 2: 0, 5: 7, 6: 4, 10: 12, 11: 9, 17: 19, 18: 16, 23: 21, 25: 27 },
  },
}

/** The presets as a help text lists them; `:N` stands for a number. */
export function listPresets(): { name: string; description: string }[] {
  return [
    { name: 'dense', description: 'every sub-block, for any model' },
    ...Object.entries(MAPS).map(([name, map]) => ({
      name,
      description: `Skrr for PixArt-Sigma: ${map.skip} sub-blocks skipped, ${Object.keys(map.reuse).length} of them re-used`,
    })),
    ...Object.entries(ORDERS).map(([name, { of, order, table }]) => ({
      name: `${name}:N`,
      description: `the first N (1 to ${order.length}) ${of} of the published order, skipped (Table ${table})`,
    })),
  ]
}

/** Whether the name has a preset's form; its number may still be out of range. */
export function isPreset(name: string): boolean {
  const order = /^(.*):/.exec(name)?.[1]
  return (
    name === 'dense' || Object.hasOwn(MAPS, name) || (order !== undefined && Object.hasOwn(ORDERS, order))
  )
}

/**
 * The plan of a preset, with the fingerprint of the model it is resolved for.
 * The published orders were measured on T5-XXL. They index its 24 blocks, so any model of 24 blocks takes them, and no other;
 * `provenance.measuredOn` names the model they were measured on.
 * @throws PlanError for an unknown name, a number out of range, or a model of another depth
 */
export function resolvePreset(name: string, architecture: Architecture): Plan {
  checkArgument(text, name, 'preset')
  checkArchitecture(architecture)
  if (name === 'dense') return named(name, Plan.dense(blocksOf(architecture)), architecture)
  const plan = published(name)
  if (blocksOf(architecture) !== BLOCKS) {
    throw new PlanError({
      field: `preset ${name}`,
      found: `a model of ${blocksOf(architecture)} blocks (${fingerprint(architecture)})`,
      expected: `${BLOCKS} blocks: it was published for T5-XXL`,
      hint: 'Select a plan for this model, or take the preset dense',
    })
  }
  return named(name, plan, architecture, { source: SOURCE, measuredOn: MEASURED_ON })
}

function published(name: string): Plan {
  if (Object.hasOwn(MAPS, name)) {
    const { skip, reuse } = MAPS[name]!
    return Plan.skip(BLOCKS, PIXART_SIGMA.slice(0, skip), reuse)
  }
  if (!isPreset(name)) {
    const presets = listPresets().map((preset) => preset.name)
    throw new PlanError({ field: 'preset', found: JSON.stringify(name), expected: presets.join(', ') })
  }
  const [order, count] = name.split(/:(.*)/s) as [string, string]
  return prefix(name, ORDERS[order]!, count)
}

function prefix(name: string, { order, of }: Order, count: string): Plan {
  const n = /^[0-9]{1,3}$/.test(count) ? Number(count) : 0
  if (n < 1 || n > order.length) {
    throw new PlanError({
      field: `preset ${name}`,
      found: JSON.stringify(count),
      expected: `a number of 1 to ${order.length} ${of}`,
    })
  }
  const first = order.slice(0, n)
  return Plan.skip(BLOCKS, of === 'blocks' ? first.flatMap((b) => [2 * b, 2 * b + 1]) : first)
}

const named = (
  preset: string,
  plan: Plan,
  architecture: Architecture,
  source: Record<string, string> = {},
): Plan => plan.with({ fingerprint: fingerprint(architecture), provenance: { preset, ...source } })
