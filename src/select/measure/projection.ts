import { InputError } from '../../errors.js'
import { floatsOf, readTensors, type Tensor } from '../../checkpoint/tensor-file.js'
import type { NativeMapLayer } from '../../native/addon.js'

/**
 * The names under which denoisers keep the module that projects the text embedding, as diffusers and the original files have
 * them. Two layers have a GELU(tanh) between them (PixArt's caption projection).
 */
const MODULES: readonly (readonly string[])[] = [
  ['caption_projection.linear_1', 'caption_projection.linear_2'], // PixArt, diffusers
  ['y_embedder.y_proj.fc1', 'y_embedder.y_proj.fc2'], // PixArt, original
  ['context_embedder'], // SD3 and FLUX in diffusers, SD3 original
  ['txt_in'], // FLUX, original
]
/** Before those names: single-file checkpoints and wrapped modules. */
const PREFIXES = ['', 'model.diffusion_model.', 'transformer.', 'module.']

/**
 * Reads the projection module from a safetensors file: a denoiser's (or only its module's), or a plain linear whose tensors are
 * named `weight` and `bias`. Weight [out, in], bias [out] or none.
 * @param width what the encoder gives, which the first layer must take
 * @throws InputError
 */
export async function readProjection(file: string, width: number): Promise<NativeMapLayer[]> {
  const all = PREFIXES.flatMap((prefix) => MODULES.map((names) => names.map((name) => `${prefix}${name}.`)))
  const modules = [...all, ['']]
  const wanted = modules.flat().flatMap((name) => [`${name}weight`, `${name}bias`])
  const tensors = await readTensors(file, [...new Set(wanted)])
  const found = modules.find((names) => tensors.has(`${names[0]!}weight`))
  if (found === undefined) {
    throw new InputError({
      file,
      found: 'no projection module',
      expected: `weights of ${MODULES.map((names) => names[0]).join(', ')}, or a plain \`weight\``,
    })
  }
  const layers: NativeMapLayer[] = []
  let columns = width
  for (const name of found) {
    const layer = readLayer(file, tensors, name, columns)
    layers.push(layer)
    columns = layer.rows
  }
  return layers
}

function readLayer(
  file: string,
  tensors: ReadonlyMap<string, Tensor>,
  name: string,
  columns: number,
): NativeMapLayer {
  const weight = tensors.get(`${name}weight`)
  const shape = weight?.shape.join(', ')
  const rows = weight?.shape[0] ?? 0
  if (weight?.shape.length !== 2 || rows === 0 || weight.shape[1] !== columns) {
    throw new InputError({
      file,
      field: `${name}weight`,
      found: shape === undefined ? 'nothing' : `shape [${shape}]`,
      expected: `[out, ${columns}]: it projects rows of ${columns}`,
    })
  }
  const bias = tensors.get(`${name}bias`)
  if (bias !== undefined && (bias.shape.length !== 1 || bias.shape[0] !== rows)) {
    throw new InputError({
      file,
      field: `${name}bias`,
      found: `shape [${bias.shape.join(', ')}]`,
      expected: `[${rows}]`,
    })
  }
  return {
    weight: finite(file, `${name}weight`, weight),
    bias: bias && finite(file, `${name}bias`, bias),
    rows,
    columns,
  }
}

function finite(file: string, field: string, tensor: Tensor): Float32Array {
  const values = floatsOf(tensor)
  if (values === undefined) {
    throw new InputError({ file, field, found: tensor.dtype, expected: 'F32, F16, BF16 or F64' })
  }
  const bad = values.findIndex((value) => !Number.isFinite(value))
  if (bad < 0) return values
  throw new InputError({
    file,
    field: `${field}[${bad}]`,
    found: String(values[bad]),
    expected: 'a finite number',
  })
}

/**
 * A copy of layers a caller gives: each takes what the one before it gives. The search runs on while the caller may do with the
 * arrays as he likes.
 * @throws InputError
 */
export function checkedLayers(layers: readonly NativeMapLayer[], width: number): NativeMapLayer[] {
  let columns = width
  for (const [i, layer] of layers.entries()) {
    const field = `projection[${i}]`
    if (layer.columns !== columns) {
      const expected = `${columns}, the width of what it takes`
      throw new InputError({ field: `${field}.columns`, found: String(layer.columns), expected })
    }
    for (const [name, count] of [
      ['weight', layer.rows * columns],
      ['bias', layer.rows],
    ] as const) {
      const found = layer[name]?.length ?? count
      if (found === count) continue
      throw new InputError({ field: `${field}.${name}`, found: `${found} numbers`, expected: String(count) })
    }
    columns = layer.rows
  }
  if (layers.length === 0) {
    throw new InputError({ field: 'projection', found: 'no layer', expected: 'at least one' })
  }
  return layers.map((layer) => ({ ...layer, weight: layer.weight.slice(), bias: layer.bias?.slice() }))
}
