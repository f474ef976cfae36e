/**
 * Times of the API's calls around the engine, by tinybench: on an encoder of T5-XXL's depth that is 32 wide, so that the engine
 * computes next to nothing and what is left is ours.
 *
 *     npm run bench:api -- [--ms 500] [--only plan] [--json]
 *
 * --ms: of each. --only: those whose name has it. Prints microseconds.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { Bench, type Statistics } from 'tinybench'
import { table } from '../../src/cli/terminal.js'
import { writeSynthetic } from '../../src/export/synthetic.js'
import { t5Architecture, T5_XXL, T5_XXL_SIZES } from '../../src/families/t5.js'
import { Encoder, openCheckpoint, Plan, resolvePreset } from '../../src/index.js'
import { TokenizerThread } from '../../src/prompts/tokenizer/thread.js'

const DATA = join(import.meta.dirname, '../../test/data')
const NARROW = t5Architecture({ ...T5_XXL_SIZES, width: 32, heads: 2, headDim: 16, ff: 64 })
const PRESET = 'pixart-sigma-41.9'
const MAX_TOKENS = 300

const { values } = parseArgs({
  options: {
    ms: { type: 'string', default: '500' },
    only: { type: 'string', default: '' },
    json: { type: 'boolean', default: false },
  },
})

type Calls = Readonly<Record<string, () => unknown>>

const ids = (prompts: number, tokens: number) => ({
  data: Int32Array.from({ length: prompts * tokens }, (_, i) => 16 + ((7919 * i) % 30_000)),
  shape: [prompts, tokens] as const,
})

function planCalls(): Calls {
  const preset = resolvePreset(PRESET, T5_XXL)
  const bare = preset.stringify()
  const rank = 32
  const rows = Float32Array.from({ length: rank * T5_XXL.width }, (_, i) => Math.sin(i))
  const compensated = preset.with({ compensation: { rank, down: rows, up: rows } }).stringify()
  return {
    'plan: parse': () => Plan.parse(bare),
    'plan: parse, compensated': () => Plan.parse(compensated),
    'plan: resolve a preset': () => resolvePreset(PRESET, T5_XXL),
    'plan: with': () => preset.with({ scales: preset.scales }),
    'plan: validate': () => preset.validate(T5_XXL),
    'plan: parameters': () => preset.parameters(T5_XXL),
  }
}

const promptCalls = (tokenizer: TokenizerThread, prompts: readonly string[]): Calls => ({
  'tokenizer: a prompt': () => tokenizer.tokenize(prompts.slice(0, 1), MAX_TOKENS),
  'tokenizer: 64 prompts': () => tokenizer.tokenize(prompts, MAX_TOKENS),
})

const checkpointCalls = (model: string): Calls => ({
  'checkpoint: open': () => openCheckpoint(model),
  'estimate: under a plan': () => Encoder.estimate(model, { plan: PRESET, device: 'cpu' }),
  'encoder: load and dispose': async () => {
    await (await Encoder.load(model, { device: 'cpu' })).dispose()
  },
})

const encoderCalls = (encoder: Encoder, prompts: readonly string[]): Calls => ({
  'encode: a prompt': () => encoder.encode(prompts[0]!),
  'encode: 8 prompts': () => encoder.encode(prompts.slice(0, 8)),
  'encode: 8 prompts of 16 ids': () => encoder.encode({ inputIds: ids(8, 16) }),
  'encode: 16 callers at once': () =>
    Promise.all(prompts.slice(0, 16).map((prompt) => encoder.encode(prompt))),
  'setPlan: there and back': async () => {
    await encoder.setPlan(PRESET)
    await encoder.setPlan('dense')
  },
})

async function measure(calls: Calls): Promise<Map<string, Statistics>> {
  const time = Number(values.ms)
  const bench = new Bench({
    ...{ time, iterations: 10, warmupTime: time / 5, warmupIterations: 3, throws: true },
  })
  for (const [name, call] of Object.entries(calls)) {
    if (name.includes(values.only)) bench.add(name, async () => await call())
  }
  await bench.run()
  return new Map(bench.tasks.map(({ name, result }) => [name, (result as { latency: Statistics }).latency]))
}

function print(found: ReadonlyMap<string, Statistics>): void {
  const rows = [...found].map(([name, { p50, p99, samplesCount }]) => ({
    ...{ name, median: 1e3 * p50, p99: 1e3 * p99, calls: samplesCount },
  }))
  if (values.json) {
    console.log(JSON.stringify(rows, null, 1))
    return
  }
  const lines = rows.map(({ name, median, p99, calls }) => [
    ...[name, median.toFixed(1), p99.toFixed(1), String(calls)],
  ])
  console.log(table([['call', 'median us', 'p99 us', 'calls'], ...lines]))
}

const folder = await mkdtemp(join(tmpdir(), 'skrr-bench-api-'))
try {
  const model = join(folder, 'model')
  await writeSynthetic(model, NARROW, { dtype: 'BF16', seed: 1, tokenizerFrom: join(DATA, 'tokenizers/t5') })
  const prompts = (await readFile(join(DATA, 'prompts/parti.txt'), 'utf8')).split('\n').slice(0, 64)
  const tokenizer = await TokenizerThread.open(model)
  const encoder = await Encoder.load(model, { device: 'cpu' })
  const calls = {
    ...planCalls(),
    ...promptCalls(tokenizer, prompts),
    ...checkpointCalls(model),
    ...encoderCalls(encoder, prompts),
  }
  print(await measure(calls))
  await encoder.dispose()
  await tokenizer.close()
} finally {
  await rm(folder, { recursive: true })
}
