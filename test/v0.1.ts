/** The files of test/fixtures/v0.1, made by the version before, as today's code uses them. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { readTensors } from '../src/checkpoint/tensor-file.js'
import { Encoder, type EncoderInput, type LoadOptions } from '../src/index.js'

export const v01 = (...path: string[]): string => join(import.meta.dirname, 'fixtures/v0.1', ...path)

export const SHAPES = ['t5-v1.0', 't5-v1.1', 'umt5'] as const
export const FOLDERS = ['int8', 'int4', 'mixed', 'sparse', 'materialized'] as const

/** What the version before encoded: an exported folder, or the source under a plan file. */
export interface Case {
  readonly name: string
  readonly model: string
  readonly options: LoadOptions
  /** Its embeddings with portable instructions. */
  readonly expected: string
}

export const CASES: readonly Case[] = SHAPES.flatMap((shape) => {
  const expected = (name: string): string => v01(shape, 'expected', `${name}.safetensors`)
  const plan = v01(shape, 'plan.json')
  return [
    ...FOLDERS.map((folder) => ({
      name: `${shape}/${folder}`,
      model: v01(shape, folder),
      options: {},
      expected: expected(folder),
    })),
    {
      name: `${shape}/source under plan.json`,
      model: v01(shape, 'source'),
      options: { plan, precision: 'f32' as const },
      expected: expected('plan'),
    },
  ]
})

/** [rows, tokens, width] as the version before computed it. */
export async function expectedOf({ expected }: Case): Promise<Float32Array> {
  return (await readTensors(expected)).get('last_hidden_state')!.data as Float32Array
}

/** The same by today's code, on the instruction set that this process runs. */
export async function encodeCase({ model, options }: Case): Promise<Float32Array> {
  const tensors = await readTensors(v01('inputs.safetensors'))
  const { data, shape } = tensors.get('input_ids')!
  const input: EncoderInput = {
    inputIds: { data: data as Int32Array, shape },
    attentionMask: tensors.get('attention_mask')!.data as Int32Array,
  }
  const encoder = await Encoder.load(model, options)
  try {
    return (await encoder.encode(input)).embeddings
  } finally {
    await encoder.dispose()
  }
}

export const readJson = async (file: string): Promise<unknown> => JSON.parse(await readFile(file, 'utf8'))
