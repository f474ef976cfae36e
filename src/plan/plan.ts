import { inspect } from 'node:util'
import { PlanError } from '../errors.js'
import { type Architecture } from '../model/architecture.js'
import { denseParameters, fixedParameters, subBlockParameters } from '../model/parameters.js'
import type { Precision } from '../model/precision.js'
import { checkBlocks, checkFits, checkPrecisions, checkScales, checkTable } from './check.js'
import {
  checkedCompensation,
  compensationParameters,
  readCompensation,
  sameCompensation,
  writeCompensation,
  type Compensation,
} from './compensation.js'
import { checkArgument, instance } from '../io/arguments.js'
import { show } from '../io/show.js'
import { checkFields, checkFile, checkFingerprint, isIndex } from './form.js'
import { checkPlanFile, frozenProvenance, parsePlanJson, type JsonObject, type PlanFile } from './schema.js'
import { planInWords } from './words.js'

/** What a plan may have beside its layer table. */
export interface PlanOptions {
  /** [2 x blocks] factor on each residual, 1 where absent: h + scale * F(norm(h)). */
  readonly scales?: readonly number[] | undefined
  /**
   * [2 x blocks] the precision of a sub-block's weights, wherever they run; null: the encoder's own (its option `precision`).
   * Default: null for all.
   */
  readonly precisions?: readonly (Precision | null)[] | undefined
  /** A low-rank map of the encoder's output, rounded to bf16. Default: none. */
  readonly compensation?: Compensation | undefined
  /** Shape of the model it was made for (fingerprint.ts); absent fits any model of the right depth. */
  readonly fingerprint?: string | undefined
  /** Where the plan came from: any JSON object, kept as it is. */
  readonly provenance?: Readonly<Record<string, unknown>> | undefined
}

const OPTIONS = ['scales', 'precisions', 'compensation', 'fingerprint', 'provenance'] as const

/** What `with` changes; a field that is given as undefined goes back to its default. */
export interface PlanChanges extends PlanOptions {
  readonly table?: readonly (number | null)[]
}

/**
 * Which sub-block's weights run at each position of an encoder. Sub-block 2i is the attention of block i, 2i+1 its
 * feed-forward; table[p] is the source that runs at p, or null where p is skipped:
 *
 *     position   0  1  2  3  4  5  6  7
 *     table      0  1  0  3  4  7  -  7      2 runs with 0's weights, 5 with 7's, 6 is skipped
 *
 * A source brings its weights, its norm and its attributes (Architecture). Weights are loaded once per distinct source. A source
 * must have its position's kind, and need not run at its own position. A Plan is immutable and always well-formed: every source
 * is in range and of its position's kind. `validate` checks whether it fits a model.
 */
export class Plan {
  readonly table: readonly (number | null)[]
  /** [2 x blocks] residual scales; 1 at skipped positions, where nothing is scaled. */
  readonly scales: readonly number[]
  /** [2 x blocks] the precision of a sub-block's weights; null: the encoder's own, or nothing runs with them. */
  readonly precisions: readonly (Precision | null)[]
  readonly compensation: Compensation | undefined
  readonly fingerprint: string | undefined
  readonly provenance: JsonObject | undefined

  /** @throws PlanError for a malformed table, scales or compensation; `file` is named in it. */
  constructor(table: readonly (number | null)[], options: PlanOptions = {}, file?: string) {
    checkFile(file)
    checkFields(options, OPTIONS, 'options', file)
    checkTable(table, file)
    const scales = options.scales ?? table.map(() => 1)
    checkScales(scales, table.length, file)
    const precisions = options.precisions ?? table.map(() => null)
    checkPrecisions(precisions, table.length, file)
    this.table = Object.freeze([...table])
    this.scales = Object.freeze(scales.map((scale, p) => (table[p] === null ? 1 : scale)))
    this.precisions = Object.freeze(precisions.map((precision, s) => (table.includes(s) ? precision : null)))
    const { compensation, provenance } = options
    this.compensation = compensation === undefined ? undefined : checkedCompensation(compensation, file)
    checkFingerprint(options.fingerprint, file)
    this.fingerprint = options.fingerprint
    this.provenance = provenance === undefined ? undefined : frozenProvenance(provenance, file)
    Object.freeze(this)
  }

  /** Every sub-block runs with its own weights. */
  static dense(blocks: number): Plan {
    return new Plan(identity(blocks))
  }

  /**
   * The paper's form: a set of skipped sub-blocks, some of which re-use another's weights.
   * @param reuse position -> source; its positions must be among `subBlocks`
   */
  static skip(
    blocks: number,
    subBlocks: readonly number[],
    reuse: Readonly<Record<number, number>> = {},
  ): Plan {
    const table: (number | null)[] = identity(blocks)
    if (!Array.isArray(subBlocks)) {
      throw new PlanError({ field: 'skip', found: show(subBlocks), expected: 'an array of sub-blocks' })
    }
    if (typeof reuse !== 'object' || (reuse as unknown) === null) {
      throw new PlanError({ field: 'reuse', found: show(reuse), expected: 'an object: position -> source' })
    }
    for (const s of subBlocks as readonly unknown[]) {
      if (!isIndex(s, table.length)) {
        throw new PlanError({
          field: 'skip',
          found: show(s),
          expected: `a sub-block of 0 to ${table.length - 1}`,
        })
      }
      table[s] = null
    }
    for (const [position, source] of Object.entries(reuse)) {
      const p = Number(position)
      if (!subBlocks.includes(p)) {
        throw new PlanError({ field: 'reuse', found: position, expected: 'a sub-block of the skip set' })
      }
      table[p] = source
    }
    return new Plan(table)
  }

  /**
   * A plan from its file's text or its parsed JSON; `file` is only for messages.
   * @throws PlanError for anything that is not a plan of version 1, unknown fields included
   */
  static parse(json: unknown, file?: string): Plan {
    checkFile(file)
    const checked = checkPlanFile(typeof json === 'string' ? parsePlanJson(json, file) : json, file)
    const { table, scales, precisions, geometry, provenance } = checked
    const compensation = checked.compensation && readCompensation(checked.compensation, file)
    const options = { scales, precisions, compensation, provenance, fingerprint: geometry?.fingerprint }
    return new Plan(table, options, file)
  }

  /**
   * This plan with some fields changed: the one way to derive a plan from another. The provenance says how table, scales and
   * compensation were found, so it is dropped where one of these changes and no new provenance is given.
   * @throws PlanError for a malformed table, scales, precisions or compensation
   */
  with(changes: PlanChanges): Plan {
    checkFields(changes, ['table', ...OPTIONS], 'changes')
    const { table, scales, precisions, compensation, fingerprint, provenance } = this
    const { table: changed = table, ...options } = changes
    const derived = new Plan(changed, { scales, precisions, compensation, fingerprint, ...options })
    if (provenance === undefined || 'provenance' in changes || !sameFinding(this, derived)) return derived
    return new Plan(changed, { scales, precisions, compensation, fingerprint, provenance, ...options })
  }

  toJSON(): PlanFile {
    return {
      format: 'skrr-plan',
      version: 1,
      table: this.table,
      ...(this.scales.some((scale) => scale !== 1) && { scales: this.scales }),
      ...(this.precisions.some((precision) => precision !== null) && { precisions: this.precisions }),
      ...(this.compensation && { compensation: writeCompensation(this.compensation) }),
      ...(this.fingerprint !== undefined && { geometry: { fingerprint: this.fingerprint } }),
      ...(this.provenance && { provenance: this.provenance }),
    }
  }

  [inspect.custom](): string {
    return `Plan { ${planInWords(this)} }`
  }

  /** The plan's file: the same plan gives the same text, arrays on one line each. */
  stringify(): string {
    const fields = Object.entries(this.toJSON()).map(([key, value]: [string, unknown]) => {
      const oneLine = Array.isArray(value)
      const text = oneLine
        ? `[${(value as unknown[]).map((entry) => JSON.stringify(entry)).join(', ')}]`
        : JSON.stringify(value, null, 2).replaceAll('\n', '\n  ')
      return `  ${JSON.stringify(key)}: ${text}`
    })
    return `{\n${fields.join(',\n')}\n}\n`
  }

  /** @throws PlanError where the plan was made for another model; `file` is named in it. */
  validate(architecture: Architecture, file?: string): void {
    checkFits(this, architecture, file)
  }

  /**
   * The part of the plan that remains once table and scales are multiplied into weights: its compensation, which no ordinary
   * encoder has. The precisions are for whoever loads those weights to choose.
   */
  remainder(): Plan | undefined {
    if (this.compensation === undefined) return undefined
    return this.with({ table: identity(this.table.length / 2), scales: undefined, precisions: undefined })
  }

  /**
   * What is left of the plan where only the first blocks run: exact for the states after them. A compensation is for the last
   * state, and goes.
   */
  upTo(blocks: number): Plan {
    if (2 * blocks >= this.table.length) return this
    return this.with({
      table: this.table.map((source, p) => (p < 2 * blocks ? source : null)),
      compensation: undefined,
    })
  }

  /** The distinct sub-blocks whose weights are needed, ascending. */
  sources(): number[] {
    const distinct = new Set(this.table.filter((source) => source !== null))
    return [...distinct].sort((a, b) => a - b)
  }

  /** Positions where nothing runs, ascending. */
  skipped(): number[] {
    return [...this.table.keys()].filter((p) => this.table[p] === null)
  }

  /** position -> source, where a position runs with another's weights. */
  reused(): Record<number, number> {
    const map: Record<number, number> = {}
    for (const [p, source] of this.table.entries()) if (source !== null && source !== p) map[p] = source
    return map
  }

  /** Parameters that are loaded: the distinct sources, the compensation, and everything outside the sub-blocks. */
  parameters(architecture: Architecture): number {
    const map = this.compensation ? compensationParameters(this.compensation) : 0
    return this.#kept(architecture) + map
  }

  /**
   * The model's parameters that are not loaded / parameters of the dense encoder, embedding included: the paper's definition, 0 to
   * 1. What a compensation adds is no part of the model, and only `parameters` counts it.
   */
  sparsity(architecture: Architecture): number {
    const dense = denseParameters(architecture)
    return (dense - this.#kept(architecture)) / dense
  }

  /** The model's parameters that are loaded. */
  #kept(architecture: Architecture): number {
    this.validate(architecture)
    const fixed = fixedParameters(architecture)
    return this.sources().reduce((sum, s) => sum + subBlockParameters(architecture, s), fixed)
  }

  /** Whether both compute the same: table, scales, precisions, compensation; fingerprint and provenance are labels. */
  equals(other: Plan): boolean {
    checkIsPlan(other, 'other')
    return (
      sameFinding(this, other) && this.precisions.every((precision, s) => precision === other.precisions[s])
    )
  }
}

/** @throws InputError that names the argument */
export function checkIsPlan(value: unknown, name = 'plan'): asserts value is Plan {
  checkArgument(instance(Plan, 'a Plan'), value, name)
}

/** Whether both have the same table, scales and compensation, which a search finds. */
const sameFinding = (a: Plan, b: Plan): boolean =>
  a.table.length === b.table.length &&
  a.table.every((source, p) => source === b.table[p] && a.scales[p] === b.scales[p]) &&
  sameCompensation(a.compensation, b.compensation)

function identity(blocks: number): number[] {
  checkBlocks(blocks)
  return [...Array(2 * blocks).keys()]
}
