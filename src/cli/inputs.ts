import { addAbortSignal } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { ioReason, withFile } from '../io/files.js'
import { floatsOf, readTensors, type Tensor } from '../checkpoint/tensor-file.js'
import type { EncoderInput, Placing } from '../options.js'
import { CheckpointError, InputError } from '../errors.js'

/** The four options that give the input; exactly one is used. */
export interface InputOptions {
  prompt?: string[]
  prompts?: string
  inputIds?: string
  inputsEmbeds?: string
}

/** The files among them, by their options. */
export const inputsOf = ({
  prompts,
  inputIds,
  inputsEmbeds,
}: InputOptions): Readonly<Record<string, string | undefined>> => ({
  '--prompts': prompts,
  '--input-ids': inputIds,
  '--inputs-embeds': inputsEmbeds,
})

export async function readInput(options: InputOptions, signal?: AbortSignal): Promise<EncoderInput> {
  const { prompt, prompts, inputIds, inputsEmbeds } = options
  const given = [prompt, prompts, inputIds, inputsEmbeds].filter((value) => value !== undefined)
  if (given.length !== 1) {
    throw new InputError({
      field: 'input',
      found: given.length === 0 ? 'none' : `${given.length} kinds`,
      expected: 'one of --prompt, --prompts, --input-ids, --inputs-embeds',
    })
  }
  if (prompt) return prompt
  if (prompts !== undefined) return await readPrompts(prompts, signal)
  if (inputIds !== undefined) return await readIds(inputIds)
  return await readEmbeds(inputsEmbeds!)
}

/** One prompt a line; an empty line is the empty prompt, the newline that ends the file is not one. `-` is stdin. */
export async function readPrompts(file: string, signal?: AbortSignal): Promise<string[]> {
  const bytes = await readBytes(file, signal)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch (cause) {
    throw new InputError(
      { file, found: 'bytes that are not UTF-8', expected: 'one prompt a line' },
      { cause },
    )
  }
  if (text === '') throw new InputError({ file, found: 'an empty file', expected: 'one prompt a line' })
  return text.replaceAll('\r\n', '\n').replace(/\n$/, '').split('\n')
}

async function readBytes(file: string, signal?: AbortSignal): Promise<Uint8Array> {
  try {
    if (file === '-') return await buffer(signal ? addAbortSignal(signal, process.stdin) : process.stdin)
    return await withFile(file, (handle) => handle.readFile())
  } catch (cause) {
    if (cause instanceof CheckpointError) {
      const hint = cause.detail.found?.includes('pipe') ? 'Pipe prompts into --prompts -' : cause.detail.hint
      throw new InputError({ ...cause.detail, hint }, { cause })
    }
    throw new InputError({ file, message: `cannot be read: ${ioReason(cause)}` }, { cause })
  }
}

export async function readIds(file: string): Promise<EncoderInput & object> {
  const tensors = await readTensors(file)
  const ids = integers(file, 'input_ids', required(file, tensors, 'input_ids'))
  return { inputIds: ids, ...readPlacing(file, tensors, ids.shape) }
}

export async function readEmbeds(file: string): Promise<EncoderInput & object> {
  const tensors = await readTensors(file)
  const tensor = required(file, tensors, 'inputs_embeds')
  const data = floatsOf(tensor)
  if (data === undefined) {
    throw new InputError({
      file,
      field: 'inputs_embeds',
      found: tensor.dtype,
      expected: 'F32, F16, BF16 or F64',
    })
  }
  return {
    inputsEmbeds: { data, shape: tensor.shape },
    ...readPlacing(file, tensors, tensor.shape.slice(0, 2)),
  }
}

function readPlacing(
  file: string,
  tensors: ReadonlyMap<string, Tensor>,
  shape: readonly number[],
): Pick<Placing, 'attentionMask' | 'positionIds'> {
  return {
    attentionMask: readTokens(file, tensors, 'attention_mask', shape),
    positionIds: readTokens(file, tensors, 'position_ids', shape),
  }
}

/** A number for each token, where the file has them. */
function readTokens(
  file: string,
  tensors: ReadonlyMap<string, Tensor>,
  name: string,
  shape: readonly number[],
): Int32Array | undefined {
  const tensor = tensors.get(name)
  if (tensor === undefined) return undefined
  const read = integers(file, name, tensor)
  if (read.shape.join() !== shape.join()) {
    throw new InputError({
      file,
      field: name,
      found: `shape [${read.shape.join(', ')}]`,
      expected: `[${shape.join(', ')}], as the inputs`,
    })
  }
  return read.data
}

function required(file: string, tensors: ReadonlyMap<string, Tensor>, name: string): Tensor {
  const tensor = tensors.get(name)
  if (tensor) return tensor
  const names = [...tensors.keys()].slice(0, 8).join(', ')
  throw new InputError({
    file,
    field: name,
    found: `no such tensor, only ${names || 'none'}`,
    expected: 'it',
  })
}

/** Ids and masks as int32, from any integer type that a tool may have saved them in. */
function integers(
  file: string,
  name: string,
  tensor: Tensor,
): { data: Int32Array; shape: readonly number[] } {
  const { dtype, shape, data } = tensor
  switch (dtype) {
    case 'I32':
      return { data, shape }
    case 'I64':
    case 'U64': {
      const wide = Array.from(data, Number)
      const bad = wide.find((value) => Math.abs(value) > 0x7fffffff)
      if (bad !== undefined)
        throw new InputError({ file, field: name, found: `${bad}`, expected: 'a 32-bit number' })
      return { data: Int32Array.from(wide), shape }
    }
    case 'I16':
    case 'U16':
    case 'I8':
    case 'U8':
    case 'BOOL':
      return { data: Int32Array.from(data), shape }
    default:
      throw new InputError({ file, field: name, found: dtype, expected: 'I32, or another integer type' })
  }
}
