import { firstDuplicateKey } from '../io/json-keys.js'
import { PlanError } from '../errors.js'
import {
  blocksOf,
  denseParameters,
  fixedParameters,
  isAttention,
  subBlockCount,
  subBlockParameters,
  type Architecture,
} from '../model/architecture.js'
import { PRECISIONS, type Precision } from '../model/precision.js'
import {
  checkedCompensation,
  compensationParameters,
  compensationWidth,
  readCompensation,
  sameCompensation,
  writeCompensation,
  type Compensation,
} from './compensation.js'
import { fingerprint } from '../model/fingerprint.js'
import { show } from '../io/show.js'
import { checkPlanFile, frozenProvenance, type JsonObject, type PlanFile } from './schema.js'

/** What a plan may carry beside its table. */
export interface PlanOptions {
  /** [2 x blocks] factor on each residual, 1 where absent: h + scale * F(norm(h)). */
  readonly scales?: readonly number[] | undefined
  /**
   * [2 x blocks] the format the weights of a sub-block are held in, wherever they run; null: the encoder's own (its option
   * `precision`). Default: null for all.
   */
  readonly precisions?: readonly (Precision | null)[] | undefined
  /** A low-rank map of the encoder's output, rounded to bf16. Default: none. */
  readonly compensation?: Compensation | undefined
  /** Shape of the model it was made for (fingerprint.ts); absent fits any model of the right depth. */
  readonly fingerprint?: string | undefined
  /** Where the plan came from: any JSON object, kept as it is. */
  readonly provenance?: Readonly<Record<string, unknown>> | undefined
}

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
 * A source brings its weights, its norm and its attributes (Architecture). Weights are loaded once per distinct source, so any
 * source of the right kind will do, also one that does not run at its own position. A Plan is immutable and always
 * well-formed: every source in range and of its position's kind. Whether it fits a model is what `validate` says.
 */
export class Plan {
  readonly table: readonly (number | null)[]
  /** [2 x blocks] residual scales; 1 at skipped positions, where nothing is scaled. */
  readonly scales: readonly number[]
  /** [2 x blocks] the format a sub-block's weights are held in; null: the encoder's own, or nothing runs with them. */
  readonly precisions: readonly (Precision | null)[]
  readonly compensation: Compensation | undefined
  readonly fingerprint: string | undefined
  readonly provenance: JsonObject | undefined

  /** @throws PlanError for a malformed table, scales or compensation; `file` is named in it. */
  constructor(table: readonly (number | null)[], options: PlanOptions = {}, file?: string) {
    checkTable(table, file)
    const scales = options.scales ?? table.map(() => 1)
    checkScales(scales, table.length, file)
    const precisions = options.precisions ?? table.map(() => null)
    checkPrecisions(precisions, table.length, file)
    this.table = Object.freeze([...table])
    this.scales = Object.freeze(scales.map((scale, p) => (table[p] === null ? 1 : scale)))
    this.precisions = Object.freeze(precisions.map((format, s) => (table.includes(s) ? format : null)))
    this.compensation = options.compensation && checkedCompensation(options.compensation, file)
    this.fingerprint = options.fingerprint
    this.provenance = options.provenance && frozenProvenance(options.provenance, file)
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
    for (const s of subBlocks) {
      if (!(s in table)) {
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
    const checked = checkPlanFile(typeof json === 'string' ? parseJson(json, file) : json, file)
    const { table, scales, precisions, geometry, provenance } = checked
    const compensation = checked.compensation && readCompensation(checked.compensation, file)
    const options = { scales, precisions, compensation, provenance, fingerprint: geometry?.fingerprint }
    return new Plan(table, options, file)
  }

  /**
   * This plan with some fields changed, and all others as they are: the one way to derive a plan from another. The provenance says
   * how table, scales and compensation were found, so where one of these changes it is left out, unless a new one is given.
   * @throws PlanError for a malformed table, scales, precisions or compensation
   */
  with(changes: PlanChanges): Plan {
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
    const model = fingerprint(architecture)
    if (this.table.length !== subBlockCount(architecture)) {
      throw new PlanError({
        file,
        field: 'table',
        found: `${this.table.length} entries`,
        expected: `${subBlockCount(architecture)}, two for each of the ${blocksOf(architecture)} blocks of ${model}`,
        hint: 'The plan was made for another model',
      })
    }
    checkKinds(this.table, architecture, file)
    if (this.fingerprint !== undefined && this.fingerprint !== model) {
      throw new PlanError({
        file,
        field: 'geometry.fingerprint',
        found: show(this.fingerprint),
        expected: show(model),
        hint: 'The plan was made for another model',
      })
    }
    const width = this.compensation && compensationWidth(this.compensation)
    if (width !== undefined && width !== architecture.width) {
      throw new PlanError({
        file,
        field: 'compensation',
        found: `rows of ${width}`,
        expected: `${architecture.width}, the width of ${model}`,
        hint: 'The plan was made for another model',
      })
    }
  }

  /**
   * What is left of the plan once table and scales are worked into weights: its compensation, which no ordinary encoder holds.
   * Precisions are left to whoever loads those weights.
   */
  remainder(): Plan | undefined {
    if (this.compensation === undefined) return undefined
    return this.with({ table: identity(this.table.length / 2), scales: undefined, precisions: undefined })
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

  /** Parameters that are loaded: those of the distinct sources, of the compensation and of all outside the sub-blocks. */
  parameters(architecture: Architecture): number {
    this.validate(architecture)
    const map = this.compensation ? compensationParameters(this.compensation) : 0
    const fixed = fixedParameters(architecture) + map
    return this.sources().reduce((sum, s) => sum + subBlockParameters(architecture, s), fixed)
  }

  /** Parameters not loaded / parameters of the dense encoder, embedding included: the paper's definition, 0 to 1. */
  sparsity(architecture: Architecture): number {
    const dense = denseParameters(architecture)
    return (dense - this.parameters(architecture)) / dense
  }

  /** Whether both compute the same: table, scales, precisions, compensation; fingerprint and provenance are labels. */
  equals(other: Plan): boolean {
    return (
      sameFinding(this, other) && this.precisions.every((precision, s) => precision === other.precisions[s])
    )
  }
}

/** Whether both have one table, scales and compensation: what a search finds. */
const sameFinding = (a: Plan, b: Plan): boolean =>
  a.table.length === b.table.length &&
  a.table.every((source, p) => source === b.table[p] && a.scales[p] === b.scales[p]) &&
  sameCompensation(a.compensation, b.compensation)

function identity(blocks: number): number[] {
  if (!Number.isSafeInteger(blocks) || blocks < 1 || blocks > MAX_BLOCKS) {
    throw new PlanError({ field: 'blocks', found: show(blocks), expected: `a number of 1 to ${MAX_BLOCKS}` })
  }
  return [...Array(2 * blocks).keys()]
}

/** Far beyond any encoder; it keeps a wrong number from being an allocation. */
const MAX_BLOCKS = 1024

function checkTable(table: readonly (number | null)[], file: string | undefined): void {
  const n = table.length
  if (n === 0 || n % 2 !== 0 || n > 2 * MAX_BLOCKS) {
    throw new PlanError({
      file,
      field: 'table',
      found: `${n} entries`,
      expected: `an even number of entries, 2 to ${2 * MAX_BLOCKS}: attention and feed-forward of each block`,
    })
  }
  for (const [p, source] of table.entries()) {
    if (source === null) continue
    if (!Number.isInteger(source) || source < 0 || source >= n) {
      throw new PlanError({
        file,
        field: `table[${p}]`,
        found: show(source),
        expected: `a sub-block of 0 to ${n - 1} or null`,
      })
    }
    if (isAttention(source) !== isAttention(p)) {
      throw new PlanError({
        file,
        field: `table[${p}]`,
        found: `${source}, ${kind(source)}`,
        expected: `${kind(p)}: ${isAttention(p) ? 'an even' : 'an odd'} sub-block or null`,
      })
    }
  }
}

/** Weights run where sub-blocks of their kind do: in most encoders that is what even and odd positions say already. */
function checkKinds(
  table: readonly (number | null)[],
  { subBlocks }: Architecture,
  file: string | undefined,
): void {
  for (const [p, source] of table.entries()) {
    if (source === null || subBlocks[source]?.kind === subBlocks[p]?.kind) continue
    throw new PlanError({
      file,
      field: `table[${p}]`,
      found: `${source}, of kind ${subBlocks[source]?.kind}`,
      expected: `a sub-block of kind ${subBlocks[p]?.kind}`,
    })
  }
}

function checkScales(scales: readonly number[], length: number, file: string | undefined): void {
  if (scales.length !== length) {
    throw new PlanError({
      file,
      field: 'scales',
      found: `${scales.length} entries`,
      expected: `${length}, one for each entry of the table`,
    })
  }
  // the engine multiplies in float32, where 1e39 is already infinite
  const bad = scales.findIndex((scale) => !Number.isFinite(Math.fround(scale)))
  if (bad >= 0) {
    throw new PlanError({
      file,
      field: `scales[${bad}]`,
      found: show(scales[bad]),
      expected: 'a number that is finite in float32',
    })
  }
}

function checkPrecisions(
  precisions: readonly (Precision | null)[],
  length: number,
  file: string | undefined,
): void {
  if (precisions.length !== length) {
    throw new PlanError({
      file,
      field: 'precisions',
      found: `${precisions.length} entries`,
      expected: `${length}, one for each entry of the table`,
    })
  }
  const bad = precisions.findIndex((precision) => precision !== null && !PRECISIONS.includes(precision))
  if (bad >= 0) {
    throw new PlanError({
      file,
      field: `precisions[${bad}]`,
      found: show(precisions[bad]),
      expected: `one of ${PRECISIONS.join(', ')} or null`,
    })
  }
}

const kind = (subBlock: number): string => (isAttention(subBlock) ? 'an attention' : 'a feed-forward')

function parseJson(text: string, file: string | undefined): unknown {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new PlanError({ file, found: `text that is not JSON (${why})`, expected: 'a plan' }, { cause })
  }
  const twice = firstDuplicateKey(text)
  if (twice === undefined) return json
  throw new PlanError({ file, found: `the key ${show(twice)} twice`, expected: 'each key once' })
}
