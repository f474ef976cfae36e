import { CheckpointError } from '../errors.js'
import type { Architecture } from '../model/architecture.js'
import { familyOf } from '../families/index.js'
import { blockBytes } from '../model/encoding.js'
import type { Role } from '../model/roles.js'
import { fingerprint } from '../model/fingerprint.js'
import { PRECISIONS, type Precision } from '../model/precision.js'

/**
 * Weights as the CPU's kernels multiply them (engine/packed_layout.h), stored so that a file is mapped and used in place. A packed
 * sub-block has its norm (and its distance table) as any other, and in place of its matrices two packed ones with scales:
 *
 *     in    <name>.int8          U8  [panels, bytes of a panel]    q over k over v; or gate and up, panel by panel
 *           <name>.int8_scales   F32 [panels * 32]                 one an output
 *     out   <name>.int8          ...                               o; or down
 *
 * The file's metadata holds the version of the layout, the precision of the sub-blocks for which the plan names none, the shape of
 * the model, and the identity of the checkpoint it was made from.
 */
export const PACKED_LAYOUT = 1

/** Matrices begin at multiples of a cache line. */
export const PACKED_ALIGNMENT = 64

export type PackedPrecision = 'int8' | 'int4'
export const isPacked = (precision: Precision): precision is PackedPrecision =>
  precision === 'int8' || precision === 'int4'

/** A panel is 32 outputs; it consists of blocks of 64 inputs, of fixed bytes in each precision (engine/packed_layout.h). */
export const PANEL = {
  columns: 32,
  depth: 64,
  int8Block: blockBytes('int8'),
  int4Block: blockBytes('int4'),
} as const
const { columns: COLUMNS, depth: DEPTH } = PANEL

export type PackedRole = Extract<Role, 'in' | 'inScales' | 'out' | 'outScales'>
export interface PackedSpec {
  readonly role: PackedRole
  readonly name: string
  readonly dtype: 'U8' | 'F32'
  readonly shape: readonly number[]
}

/** Where a packed tensor lies. */
export interface PackedRef extends PackedSpec {
  readonly file: string
  readonly offset: number
  readonly bytes: number
}

export interface PackedSubBlock {
  readonly precision: PackedPrecision
  readonly tensors: Readonly<Record<PackedRole, PackedRef>>
}

/** The tensors in place of a sub-block's matrices. */
export function packedTensors(a: Architecture, subBlock: number, precision: PackedPrecision): PackedSpec[] {
  const names = familyOf(a).packed(a, subBlock)
  const matrix = (role: 'in' | 'out', outputs: number[], inputs: number): PackedSpec[] => {
    const panels = outputs.reduce((sum, n) => sum + Math.ceil(n / COLUMNS), 0)
    const bytes = Math.ceil(inputs / DEPTH) * blockBytes(precision)
    const name = `${names[role]}.${precision}`
    return [
      { role, name, dtype: 'U8', shape: [panels, bytes] },
      { role: `${role}Scales`, name: `${name}_scales`, dtype: 'F32', shape: [panels * COLUMNS] },
    ]
  }
  const s = a.subBlocks[subBlock]!
  if (s.kind === 'attention') {
    const [queries, keys] = [s.heads * s.headDim, s.keyHeads * s.headDim]
    return [...matrix('in', [queries, keys, keys], a.width), ...matrix('out', [a.width], queries)]
  }
  const ups = s.gated ? [s.inner, s.inner] : [s.inner]
  return [...matrix('in', ups, a.width), ...matrix('out', [a.width], s.inner)]
}

/** The precision in which a sub-block is packed, told by the names that exist. */
export const packedPrecision = (
  g: Architecture,
  subBlock: number,
  names: { has(name: string): boolean },
): PackedPrecision | undefined =>
  PRECISIONS.filter(isPacked).find((precision) =>
    packedTensors(g, subBlock, precision).some(({ name }) => names.has(name)),
  )

export interface PackedMetadata {
  readonly precision: Precision
  /** The checkpoint it was made from, in one word. */
  readonly original: string
}

export const packedMetadata = (
  g: Architecture,
  { precision, original }: PackedMetadata,
): Record<string, string> => ({
  skrr_layout: String(PACKED_LAYOUT),
  skrr_precision: precision,
  skrr_model: fingerprint(g),
  skrr_original: original,
})

/** The precision a file was exported in; undefined for ordinary files. */
export function exportedPrecision(
  file: string,
  metadata: ReadonlyMap<string, string>,
): Precision | undefined {
  const named = metadata.get('skrr_precision')
  if (named === undefined) return undefined
  const precision = PRECISIONS.find((known) => known === named)
  return precision ?? fail(file, 'skrr_precision', named, `one of ${PRECISIONS.join(', ')}`)
}

/** @throws CheckpointError where a file with packed weights is of another layout or model */
export function checkPackedMetadata(
  file: string,
  metadata: ReadonlyMap<string, string>,
  g: Architecture,
): void {
  const expect = (key: string, expected: string): void => {
    const found = metadata.get(key)
    if (found !== expected) fail(file, key, found, JSON.stringify(expected))
  }
  expect('skrr_layout', String(PACKED_LAYOUT))
  expect('skrr_model', fingerprint(g))
}

function fail(file: string, key: string, found: string | undefined, expected: string): never {
  throw new CheckpointError({
    file,
    field: `__metadata__.${key}`,
    found: found === undefined ? 'nothing' : JSON.stringify(found.slice(0, 80)),
    expected,
    hint: 'Its packed weights are of another version of skrr or of another model: export them again',
  })
}
