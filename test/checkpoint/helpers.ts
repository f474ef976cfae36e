import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, onTestFinished } from 'vitest'
import { writeSynthetic } from '../../src/export/synthetic.js'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { storedTensors, type Checkpoint, type TensorRef } from '../../src/checkpoint/types.js'
import { tensorsOf } from '../../src/families/index.js'
import { t5Architecture } from '../../src/families/t5.js'
import type { T5Sizes } from '../../src/families/t5-sizes.js'
import type { Architecture } from '../../src/model/architecture.js'
import { tinySizes } from '../plan/models.js'

export const GOLDEN = join(import.meta.dirname, '../golden')
export const DATA = join(import.meta.dirname, '../data')

/** A folder that is removed when the test is over. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'skrr-test-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A folder for all tests of a describe block, made before they run. */
export function keptFolder(): () => string {
  let folder = ''
  beforeAll(async () => void (folder = await mkdtemp(join(tmpdir(), 'skrr-test-'))))
  afterAll(() => rm(folder, { recursive: true, force: true }))
  return () => folder
}

/**
 * Writes a model of toy size that takes prompts: T5's tokenizer, and rows for all its ids (the golden models have 256).
 * The weights are made up.
 */
export async function promptModel(folder: string, change: Partial<T5Sizes> = {}): Promise<string> {
  await writeSynthetic(folder, t5Architecture({ ...tinySizes, vocab: 32128, ...change }), {
    dtype: 'BF16',
    seed: 1,
    tokenizerFrom: join(DATA, 'tokenizers/t5'),
  })
  return folder
}

/** The tensors of a checkpoint by their canonical names. */
export const namedTensors = (checkpoint: Checkpoint): Map<string, TensorRef> =>
  new Map(storedTensors(checkpoint).map(({ name, ref }) => [name, ref]))

/** The names of a sub-block's own tensors. */
export const ownNames = (architecture: Architecture, subBlock: number): string[] =>
  tensorsOf(architecture)
    .filter((tensor) => tensor.subBlock === subBlock && !tensor.shared)
    .map(({ name }) => name)

/** The bytes of a file with any header text, true or false, and that many zero bytes of data. */
export function fileWith(header: unknown, dataBytes = 0): Uint8Array {
  const json = typeof header === 'string' ? header : JSON.stringify(header)
  const length = Buffer.byteLength(json)
  const bytes = Buffer.alloc(8 + length + dataBytes)
  bytes.writeBigUInt64LE(BigInt(length))
  bytes.write(json, 8)
  return bytes
}

/** The error a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<Error> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (outcome instanceof Error) return outcome
  throw new Error('expected a rejection')
}

/** A tensor of a file that is written as it stands, whatever it says. */
export interface RawTensor {
  readonly name: string
  readonly dtype: string
  readonly shape: readonly number[]
  readonly data: Uint8Array
}

/** Writes tensors in the order given, without any padding; `metadata` may be anything, `trailing` bytes follow. */
export async function writeRaw(
  file: string,
  tensors: readonly RawTensor[],
  { metadata, trailing = 0 }: { metadata?: unknown; trailing?: number } = {},
): Promise<string> {
  const header: Record<string, unknown> = metadata === undefined ? {} : { __metadata__: metadata }
  let at = 0
  for (const { name, dtype, shape, data } of tensors) {
    header[name] = { dtype, shape, data_offsets: [at, at + data.length] }
    at += data.length
  }
  await writeFile(
    file,
    Buffer.concat([fileWith(header), ...tensors.map(({ data }) => data), Buffer.alloc(trailing)]),
  )
  return file
}

/** The tensors of a file, to be changed and written again. */
export const rawTensors = async (file: string): Promise<RawTensor[]> =>
  [...(await readTensors(file))].map(([name, { dtype, shape, data }]) => ({
    name,
    dtype,
    shape,
    data: new Uint8Array(data.buffer),
  }))
