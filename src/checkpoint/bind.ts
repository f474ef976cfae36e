import { CheckpointError } from '../errors.js'
import { subBlockCount, type Architecture } from '../model/architecture.js'
import { blocksOf } from '../model/parameters.js'
import { familyOf, type TensorSpec } from '../families/index.js'
import { isPlainEncoding, PLAIN_ENCODINGS } from '../model/encoding.js'
import { isMatrix, type FixedRole, type Role } from '../model/roles.js'
import { show } from '../io/check.js'
import { readExactly, withFile } from '../io/files.js'
import { isCompanion, scaleNames } from './companions.js'
import { isDType } from './element-types.js'
import {
  checkPackedMetadata,
  PACKED_ALIGNMENT,
  packedPrecision,
  packedTensors,
  type PackedRef,
  type PackedSpec,
  type PackedSubBlock,
} from './packed.js'
import { soundTensor, type HeaderTensor } from './safetensors.js'
import type { Checkpoint, StoredSubBlock, TensorRef } from './types.js'

/** A tensor of a header, with the file it lies in. */
export interface Located extends HeaderTensor {
  readonly file: string
}

export type Bound = Pick<Checkpoint, 'fixed' | 'subBlocks' | 'packed'>

export interface BindOptions {
  /** `__metadata__` of each file. */
  readonly metadata: ReadonlyMap<string, ReadonlyMap<string, string>>
  /** The file or folder that errors about absent tensors name. */
  readonly source: string
  /** Whether whole sub-blocks may be absent, because the checkpoint was exported under a plan. */
  readonly sparse: boolean
}

/**
 * Checks every tensor the architecture asks for and gives it its role. An encoder tensor the architecture does not know is an
 * error too: computing without it would give wrong embeddings in silence.
 */
export async function bindTensors(
  architecture: Architecture,
  located: ReadonlyMap<string, Located>,
  { source, sparse, metadata }: BindOptions,
): Promise<Bound> {
  const family = familyOf(architecture)
  const bound = new Map<string, TensorRef>()
  const names = new Set<string>()
  const bind = async <R extends Role | FixedRole>(
    specs: readonly TensorSpec<R>[],
  ): Promise<Partial<Record<R, TensorRef>>> => {
    const byRole: Partial<Record<R, TensorRef>> = {}
    for (const spec of specs) {
      const key = `${spec.name} ${spec.part?.from ?? 0}`
      const ref = bound.get(key) ?? (await bindOne(spec, located, source))
      bound.set(key, ref)
      names.add(spec.name)
      byRole[spec.role] = ref
    }
    return byRole
  }
  const fixed = await bind(family.fixed(architecture))
  const subBlocks: StoredSubBlock[] = []
  const packed = new Map<number, PackedSubBlock>()
  for (let s = 0; s < subBlockCount(architecture); s++) {
    const specs = family.subBlock(architecture, s)
    const precision = packedPrecision(architecture, s, located)
    if (precision === undefined) {
      const absent = sparse && !specs.some(({ name, shared }) => !shared && located.has(name))
      subBlocks.push(await bind(absent ? specs.filter(({ shared }) => shared) : specs))
      continue
    }
    subBlocks.push(await bind(specs.filter(({ role }) => !isMatrix(role))))
    const tensors = packedTensors(architecture, s, precision).map((spec) => bindPacked(spec, located, source))
    for (const { file } of tensors) checkPackedMetadata(file, metadata.get(file)!, architecture)
    const byRole = Object.fromEntries(tensors.map((tensor) => [tensor.role, tensor]))
    packed.set(s, { precision, tensors: byRole as PackedSubBlock['tensors'] })
  }
  checkAllKnown(architecture, located, [
    ...names,
    ...[...packed.values()].flatMap(({ tensors }) => Object.values(tensors).map(({ name }) => name)),
  ])
  return { fixed, subBlocks, packed }
}

function checkAllKnown(
  architecture: Architecture,
  located: ReadonlyMap<string, Located>,
  names: readonly string[],
): void {
  const known = new Set(names)
  for (const [name, { file }] of located) {
    if (known.has(name) || isCompanion(name)) continue
    throw new CheckpointError({
      file,
      field: name,
      message: `is not a tensor of ${familyOf(architecture).describe(architecture)} with ${blocksOf(architecture)} blocks`,
      hint: 'The config.json belongs to another model, or the encoder is of a kind that is not supported.',
    })
  }
}

/** The tensor under a name, of the shape it must have. */
function find(
  spec: Pick<TensorSpec, 'name' | 'shape' | 'part'>,
  located: ReadonlyMap<string, Located>,
  source: string,
): Located {
  const tensor = located.get(spec.name)
  const wanted = spec.part === undefined ? spec.shape : [spec.part.of, ...spec.shape.slice(1)]
  if (tensor === undefined) {
    throw new CheckpointError({
      file: source,
      field: spec.name,
      found: 'no such tensor',
      expected: `one of shape [${wanted.join(', ')}]`,
      hint: /-\d{5}-of-\d{5}\./.test(source) ? 'This is one shard of several: name its folder.' : undefined,
    })
  }
  const { file, name, shape } = tensor
  if (shape.length !== wanted.length || shape.some((n, i) => n !== wanted[i])) {
    const [found, expected] = [shape, wanted].map((list) => `shape [${list.join(', ')}]`)
    throw new CheckpointError({ file, field: name, found, expected })
  }
  return tensor
}

function bindPacked(spec: PackedSpec, located: ReadonlyMap<string, Located>, source: string): PackedRef {
  const tensor = find(spec, located, source)
  const { file, name, dtype, offset, bytes } = tensor
  if (dtype !== spec.dtype)
    throw new CheckpointError({ file, field: name, found: show(dtype), expected: spec.dtype })
  soundTensor(tensor, file)
  if (offset % PACKED_ALIGNMENT !== 0) {
    const found = `it at byte ${offset}`
    throw new CheckpointError({ file, field: name, found, expected: `a multiple of ${PACKED_ALIGNMENT}` })
  }
  return { ...spec, file, offset, bytes }
}

async function bindOne(
  spec: TensorSpec,
  located: ReadonlyMap<string, Located>,
  source: string,
): Promise<TensorRef> {
  const tensor = find(spec, located, source)
  const { file, name, dtype, shape, offset, bytes } = tensor
  if (!isPlainEncoding(dtype)) {
    const expected = `one of ${PLAIN_ENCODINGS.join(', ')}`
    throw new CheckpointError({ file, field: name, found: isDType(dtype) ? dtype : show(dtype), expected })
  }
  soundTensor(tensor, file)
  const { part, plus } = spec
  const row = part === undefined ? 0 : bytes / part.of
  const scale = await scaleOf(spec.name, located)
  return {
    name,
    file,
    offset: part === undefined ? offset : offset + part.from * row,
    bytes: part === undefined ? bytes : spec.shape[0]! * row,
    encoding: dtype,
    shape: part === undefined ? shape : spec.shape,
    ...(scale !== 1 && { scale }),
    ...(plus !== undefined && { plus }),
  }
}

async function scaleOf(name: string, located: ReadonlyMap<string, Located>): Promise<number> {
  const tensor = scaleNames(name)
    .map((scale) => located.get(scale))
    .find((found) => found !== undefined)
  if (tensor === undefined) return 1
  const fail = (found: string, expected: string): never => {
    throw new CheckpointError({ file: tensor.file, field: tensor.name, found, expected })
  }
  if (tensor.dtype !== 'F32' || tensor.bytes !== 4) {
    return fail(`${tensor.dtype} [${tensor.shape.join(', ')}]`, 'one F32 factor for the whole matrix')
  }
  const value = new Float32Array(1)
  await withFile(tensor.file, (handle) =>
    readExactly(handle, new Uint8Array(value.buffer), tensor.offset, tensor.file),
  )
  const [scale] = value
  return scale! > 0 && Number.isFinite(scale) ? scale! : fail(String(scale), 'a finite factor above 0')
}
