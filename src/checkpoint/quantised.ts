import { CheckpointError } from '../errors.js'
import { show } from '../io/check.js'
import { readExactly, withFile } from '../io/files.js'
import { isPlainEncoding, PLAIN_ENCODINGS } from '../model/encoding.js'
import { scaleNames } from './companions.js'
import type { Located } from './bind.js'

/**
 * Encoders whose matrices are codes, not numbers: recognised by what lies beside a matrix, so that the error names the format
 * and a matrix is never read without the scales it needs.
 */

/** In order: what a canonical name must match, and who writes such names. */
const MARKS: readonly (readonly [RegExp, string])[] = [
  [/\.quant_state\.bitsandbytes__nf4$/, 'bitsandbytes NF4'],
  [/\.quant_state\.bitsandbytes__fp4$/, 'bitsandbytes FP4'],
  [/\.(nested_)?(absmax|quant_map)$|\.quant_state\./, 'bitsandbytes in 4 or 8 bits'],
  [/\.(SCB|weight_format)$/, 'bitsandbytes LLM.int8'],
  [/\.weight\._(data|scale|shift)\b/, 'optimum-quanto'],
  [/\.(wscales|wzeros|scaled_zeros)$/, 'AWQ in int4'],
  [/\.(qweight|qzeros|g_idx)$/, 'GPTQ or AWQ'],
  [/\.(W_q|W_nbits)$/, 'HQQ'],
  [/weight[:_]qdata$|\.weight\.tensor_impl\b/, 'torchao'],
  [/\.weight_(packed|shape|zero_point|global_scale)$/, 'compressed-tensors'],
  [/\.weight_scale_inv$/, 'fp8 with a scale for each block'],
  [/\.weight_scale_2$/, 'NVFP4'],
]

/** ComfyUI's name for the one of its formats that is read: fp8 with a factor for each matrix. */
const READ_FORMAT = 'float8_e4m3fn'
const NOTE_BYTES = 4096
const METADATA_LENGTH = 4 << 20

export interface QuantisedOptions {
  readonly metadata: ReadonlyMap<string, ReadonlyMap<string, string>>
  /** What config.json says of how the weights were quantised. */
  readonly method: string | undefined
}

/** Throws CheckpointError where a matrix of the encoder (by canonical names) is quantised in a way that is not read. */
export async function refuseQuantised(
  located: ReadonlyMap<string, Located>,
  { metadata, method }: QuantisedOptions,
): Promise<void> {
  await refuseNoted(located, metadata)
  for (const [pattern, format] of MARKS) {
    for (const [name, tensor] of located) if (pattern.test(name)) refuse(tensor, format)
  }
  for (const [name, tensor] of located) {
    if (!name.endsWith('.weight')) continue
    if (!isPlainEncoding(tensor.dtype)) refuseType(tensor)
    const scaled = scaleNames(name).some((scale) => located.has(scale))
    // fp8 that is only a rounding comes without a word about quantisation
    if (tensor.dtype.startsWith('F8') && !scaled && method !== undefined) refuse(tensor, method)
  }
}

/** ComfyUI notes the format of a matrix in a tensor beside it, or of all in the file's metadata. */
async function refuseNoted(
  located: ReadonlyMap<string, Located>,
  metadata: QuantisedOptions['metadata'],
): Promise<void> {
  const inMetadata = new Map([...metadata].map(([file, entries]) => [file, layerFormats(entries)]))
  for (const [name, tensor] of located) {
    if (!name.endsWith('.weight')) continue
    const note = located.get(name.replace(/weight$/, 'comfy_quant'))
    const format =
      note === undefined
        ? inMetadata.get(tensor.file)?.get(tensor.name.replace(/\.weight$/, ''))
        : await notedFormat(note)
    if (format === undefined) continue
    if (format !== READ_FORMAT) refuse(tensor, `ComfyUI as ${show(format)}`)
    if (!scaleNames(name).some((scale) => located.has(scale))) {
      throw new CheckpointError({
        file: tensor.file,
        field: tensor.name,
        found: `ComfyUI's ${READ_FORMAT} without a scale`,
        expected: `${scaleNames(tensor.name).join(' or ')} beside it`,
      })
    }
  }
}

async function notedFormat(note: Located): Promise<string> {
  const bytes = new Uint8Array(Math.min(note.bytes, NOTE_BYTES))
  await withFile(note.file, (handle) => readExactly(handle, bytes, note.offset, note.file))
  const text = new TextDecoder().decode(bytes)
  const { format } = (parsed(text) ?? {}) as { format?: unknown }
  if (typeof format === 'string') return format
  throw new CheckpointError({
    file: note.file,
    field: note.name,
    found: show(text),
    expected: 'JSON that names a format',
  })
}

function layerFormats(entries: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  const text = entries.get('_quantization_metadata') ?? ''
  const { layers } = (text.length > METADATA_LENGTH ? {} : (parsed(text) ?? {})) as { layers?: unknown }
  if (typeof layers !== 'object' || layers === null) return new Map()
  const formats = Object.entries(layers as Record<string, { format?: unknown } | null>)
  return new Map(formats.map(([name, layer]) => [name, String(layer?.format)]))
}

function parsed(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value : undefined
  } catch {
    return undefined
  }
}

const HINT = 'Take the encoder in 16 bits or fp8; the precision option quantises it here.'

function refuse({ file, name }: Located, format: string): never {
  throw new CheckpointError({
    file,
    field: name,
    found: `a matrix quantised by ${format}`,
    expected: `weights in one of ${PLAIN_ENCODINGS.join(', ')}`,
    hint: HINT,
  })
}

function refuseType({ file, name, dtype }: Located): never {
  throw new CheckpointError({
    file,
    field: name,
    found: /^\w{1,20}$/.test(dtype) ? dtype : show(dtype),
    expected: `one of ${PLAIN_ENCODINGS.join(', ')}`,
    hint: HINT,
  })
}
