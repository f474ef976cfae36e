import { join } from 'node:path'
import { openCheckpoint } from '../../src/checkpoint/open.js'
import { inspectCommand } from '../../src/cli/inspect.js'
import { readEmbeds, readIds } from '../../src/cli/inputs.js'
import { Encoder, resolvePlan } from '../../src/encoder.js'
import { SkrrError, type ErrorCode } from '../../src/errors.js'
import { exportCheckpoint } from '../../src/export/checkpoint.js'
import { exportPacked } from '../../src/export/packed.js'
import type { EncoderInput, LoadOptions } from '../../src/options.js'
import { readPlan } from '../../src/plan/file.js'
import { TokenizerThread } from '../../src/prompts/tokenizer/thread.js'
import { selectPlan } from '../../src/select/index.js'
import { readProjection } from '../../src/select/measure/projection.js'
import type { Action, Case } from './cases.js'
import { searched } from './seeds.js'

/** A tokenizer that does not answer is a caller's to abort: that must be felt. */
const TOKENIZER_MS = 700

type Run = (folder: string, one: Case) => Promise<unknown>

/** Each resolves where the files are good, or rejects with the error that a caller gets. */
export const actions: Readonly<Record<Action, Run>> = {
  load: (folder, one) => encode(pathOf(folder, one), one, ids(one)),
  estimate: (folder, one) => Encoder.estimate(pathOf(folder, one), options(one)),
  inspect: (folder, one) => inspect(pathOf(folder, one)),
  export: (folder, one) => exported(folder, one, false),
  materialize: (folder, one) => exported(folder, one, true),
  pack,
  plan: async (folder, one) => {
    const plan = await readPlan(join(folder, one.scenario.file))
    await encode(join(folder, 'model'), one, ids(one), { plan })
  },
  ids: async (folder, one) =>
    encode(join(folder, 'model'), one, await readIds(join(folder, one.scenario.file))),
  embeds: async (folder, one) =>
    encode(join(folder, 'model'), one, await readEmbeds(join(folder, one.scenario.file))),
  resume,
  projection: (folder, one) => readProjection(join(folder, one.scenario.file), 64),
  tokenize,
}

/** A single file is named itself, so that no folder says what it is. */
const pathOf = (folder: string, { scenario }: Case): string =>
  scenario.seed === 'single' ? join(folder, scenario.file) : folder

const options = ({ precision }: Case): LoadOptions => ({ device: 'cpu', threads: 1, precision })

const ids = ({ tokens }: Case): EncoderInput => ({
  inputIds: { data: Int32Array.from({ length: tokens }, (_, i) => i % 3), shape: [1, tokens] },
})

async function encode(path: string, one: Case, input: EncoderInput, more: LoadOptions = {}): Promise<void> {
  const encoder = await Encoder.load(path, { ...options(one), ...more })
  const { embeddings } = await encoder.encode(input).finally(() => encoder.dispose())
  const bad = embeddings.findIndex((value) => !Number.isFinite(value))
  if (bad >= 0) throw new Error(`embeddings[${bad}] is ${embeddings[bad]}`)
}

async function exported(folder: string, one: Case, materialize: boolean): Promise<void> {
  const checkpoint = await openCheckpoint(pathOf(folder, one))
  const out = join(folder, 'exported')
  await exportCheckpoint(checkpoint, await resolvePlan(undefined, checkpoint), out, { materialize })
  await openCheckpoint(out) // what we write we read
}

async function pack(folder: string, one: Case): Promise<void> {
  const checkpoint = await openCheckpoint(pathOf(folder, one))
  const plan = await resolvePlan(undefined, checkpoint)
  const out = join(folder, 'packed')
  await exportPacked(checkpoint, plan, out, { precision: one.precision ?? 'int8', threads: 1 })
  await encode(out, { ...one, precision: undefined }, ids(one))
}

async function resume(folder: string, one: Case): Promise<void> {
  const calibration = await readIds(join(folder, 'calibration.safetensors'))
  const search = { ...(await searched(folder)), journal: join(folder, one.scenario.file), resume: true }
  const encoder = await Encoder.load(join(folder, 'model'), { device: 'cpu', threads: 1 })
  await selectPlan(encoder, calibration, search).finally(() => encoder.dispose())
}

/** The command, in this process; its error is made one again. */
async function inspect(path: string): Promise<void> {
  const write = process.stdout.write.bind(process.stdout)
  let output = ''
  process.stdout.write = (text: string | Uint8Array) => ((output += String(text)), true)
  try {
    await inspectCommand().parseAsync(['--model', path, '--json'], { from: 'user' })
  } finally {
    process.stdout.write = write
    process.exitCode = undefined
  }
  const { error } = JSON.parse(output) as { error?: { code: ErrorCode; message: string } }
  if (error) throw new SkrrError(error.code, { message: error.message })
}

async function tokenize(folder: string, one: Case): Promise<void> {
  const signal = AbortSignal.timeout(TOKENIZER_MS)
  try {
    const tokenizer = await TokenizerThread.open(join(folder, one.scenario.file), signal)
    await tokenizer
      .tokenize(['a photo of a cat', '', `${'a'.repeat(300)}!`, '\ud800 \u202e\0'], 64, signal)
      .finally(() => tokenizer.close())
  } catch (error) {
    if (error !== signal.reason) throw error
  }
}
