/** Who runs, in which precision, and how its process is started. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Precision } from '../../src/model/precision.js'
import { ggufModel, type GgufPrecision } from './gguf.js'
import { onnxModel } from './onnx-files.js'
import type { OnnxPrecision } from './onnx.js'
import type { Bits, Software } from './results.js'
import { idsOf, type Size } from './slice.js'

export interface Rival {
  readonly software: Software
  /** Its own name of the precision. */
  readonly precision: string
  readonly bits: Bits
  /** Makes the files it wants under `place.dir`. @returns the command that runs it */
  command(place: Place): Promise<[string, ...string[]]>
}

export interface Place {
  /** A folder of its own for everyone's files; they stay for the next run. */
  readonly dir: string
  /** The Hugging Face folder that all is made from. */
  readonly slice: string
  readonly size: Size
  readonly threads: number
}

const file = (name: string): string => join(import.meta.dirname, name)
const settings = ({ size, threads }: Place, more: object): string =>
  JSON.stringify({ ids: idsOf(size), threads, ...more })

const skrr = (precision: Precision, bits: Bits): Rival => ({
  ...{ software: 'skrr', precision, bits },
  command: (place) =>
    Promise.resolve([
      process.execPath,
      file('skrr-child.mjs'),
      settings(place, { model: place.slice, precision }),
    ]),
})

const onnxruntime = (precision: OnnxPrecision, name: string, bits: Bits): Rival => ({
  ...{ software: 'onnxruntime', precision: name, bits },
  command: async (place) => {
    const model = await onnxModel(join(place.dir, 'onnx'), place.slice, precision, place.size)
    return [process.execPath, file('onnx-child.mjs'), settings(place, { model })]
  },
})

const llama = (python: string, precision: GgufPrecision, bits: Bits): Rival => ({
  ...{ software: 'llama.cpp', precision, bits },
  command: async (place) => {
    const folder = join(place.dir, 'gguf')
    await mkdir(folder, { recursive: true })
    const model = await ggufModel(folder, place.slice, precision)
    return [python, file('llama_child.py'), settings(place, { model })]
  },
})

const torch = (
  python: string,
  software: Software,
  precision: 'f32' | 'bf16' | 'int8',
  bits: Bits,
): Rival => ({
  ...{ software, precision, bits },
  command: (place) => {
    const compiled = software !== 'PyTorch'
    const more = { model: place.slice, precision, compiled }
    return Promise.resolve([python, file('torch_child.py'), settings(place, more)])
  },
})

/** The first is who the others' results are held against. @param python one that has what requirements.txt names */
export const rivals = (python: string): Rival[] => [
  skrr('f32', 32),
  onnxruntime('f32', 'fp32', 32),
  torch(python, 'PyTorch', 'f32', 32),
  skrr('bf16', 16),
  torch(python, 'PyTorch', 'bf16', 16),
  torch(python, 'PyTorch compiled', 'bf16', 16),
  llama(python, 'bf16', 16),
  skrr('int8', 8),
  onnxruntime('int8', 'int8', 8),
  torch(python, 'torchao', 'int8', 8),
  llama(python, 'q8_0', 8),
  skrr('int4', 4),
  onnxruntime('int4', 'MatMulNBits', 4),
  llama(python, 'q4_0', 4),
]
