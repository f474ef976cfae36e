import { PlanError } from '../errors.js'
import { show } from '../io/show.js'
import { isAttention, subBlockCount, type Architecture } from '../model/architecture.js'
import { blocksOf } from '../model/parameters.js'
import { checkArchitecture } from '../model/check-architecture.js'
import { fingerprint } from '../model/fingerprint.js'
import { PRECISIONS } from '../model/precision.js'
import { checkArray, isIndex } from './form.js'
import { compensationWidth, intact, type Compensation } from './compensation.js'

/** What makes a plan well-formed, and what makes it fit a model. All throw PlanError, in which `file` is named. */

type Table = readonly (number | null)[]

/** What of a plan depends on the model. */
interface Fitted {
  readonly table: Table
  readonly compensation: Compensation | undefined
  readonly fingerprint: string | undefined
}

/** Far above any encoder; a wrong number is refused before it sizes an allocation. */
const MAX_BLOCKS = 1024

export function checkBlocks(blocks: number): void {
  if (Number.isSafeInteger(blocks) && blocks >= 1 && blocks <= MAX_BLOCKS) return
  throw new PlanError({ field: 'blocks', found: show(blocks), expected: `a number of 1 to ${MAX_BLOCKS}` })
}

export function checkTable(table: unknown, file: string | undefined): void {
  checkArray(table, 'table', 'an array of sub-blocks and nulls', file)
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
    if (!isIndex(source, n)) {
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

export function checkScales(scales: unknown, length: number, file: string | undefined): void {
  checkArray(scales, 'scales', 'an array of residual scales', file)
  checkLength('scales', scales.length, length, file)
  // the engine multiplies in float32, where 1e39 is already infinite
  const bad = scales.findIndex((scale) => typeof scale !== 'number' || !Number.isFinite(Math.fround(scale)))
  if (bad >= 0) {
    throw new PlanError({
      file,
      field: `scales[${bad}]`,
      found: show(scales[bad]),
      expected: 'a number that is finite in float32',
    })
  }
}

export function checkPrecisions(precisions: unknown, length: number, file: string | undefined): void {
  checkArray(precisions, 'precisions', 'an array of precisions and nulls', file)
  checkLength('precisions', precisions.length, length, file)
  const bad = precisions.findIndex(
    (precision) => precision !== null && !(PRECISIONS as readonly unknown[]).includes(precision),
  )
  if (bad >= 0) {
    throw new PlanError({
      file,
      field: `precisions[${bad}]`,
      found: show(precisions[bad]),
      expected: `one of ${PRECISIONS.join(', ')} or null`,
    })
  }
}

function checkLength(field: string, found: number, length: number, file: string | undefined): void {
  if (found === length) return
  const expected = `${length}, one for each entry of the table`
  throw new PlanError({ file, field, found: `${found} entries`, expected })
}

/** Whether the plan can run on a model of this architecture. */
export function checkFits(plan: Fitted, architecture: Architecture, file: string | undefined): void {
  checkArchitecture(architecture)
  const model = fingerprint(architecture)
  if (plan.table.length !== subBlockCount(architecture)) {
    throw new PlanError({
      file,
      field: 'table',
      found: `${plan.table.length} entries`,
      expected: `${subBlockCount(architecture)}, two for each of the ${blocksOf(architecture)} blocks of ${model}`,
      hint: 'The plan was made for another model',
    })
  }
  checkKinds(plan.table, architecture, file)
  if (plan.fingerprint !== undefined && plan.fingerprint !== model) {
    throw new PlanError({
      file,
      field: 'geometry.fingerprint',
      found: show(plan.fingerprint),
      expected: show(model),
      hint: 'The plan was made for another model',
    })
  }
  const width = plan.compensation && compensationWidth(intact(plan.compensation, file))
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

/** Weights run only at positions of their own kind. In most encoders the even and odd numbers say so already. */
function checkKinds(table: Table, { subBlocks }: Architecture, file: string | undefined): void {
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

const kind = (subBlock: number): string => (isAttention(subBlock) ? 'an attention' : 'a feed-forward')
