/**
 * The work of Algorithm 1 and 2, naive and fast side by side: sub-block executions x tokens, which do not depend on the machine.
 *
 *     node scripts/run-ts.mjs bench/selection-work.ts [--model FOLDER --calibration FILE --projection FILE] [--removals N] [--prompts N]
 *         [--precision f32|bf16] [--cache-bytes N] [--fast]
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { performance } from 'node:perf_hooks'
import { parseArgs } from 'node:util'
import { t5Architecture, T5_XXL_SIZES } from '../src/families/t5.js'
import { openCheckpoint } from '../src/checkpoint/open.js'
import { writeSynthetic } from '../src/export/synthetic.js'
import { floatsOf, readTensors } from '../src/checkpoint/tensor-file.js'
import { blocksOf } from '../src/model/parameters.js'
import { Engine } from '../src/native/engine.js'
import type { Precision } from '../src/model/precision.js'
import { Plan } from '../src/plan/plan.js'
import { finish } from '../src/io/turns.js'
import { packEmbeds, packTokens } from '../src/prompts/batch.js'
import { pipelines } from '../src/pipelines/index.js'
import { chunksOf, type Chunk } from '../src/select/measure/calibration.js'
import { Evaluator } from '../src/select/measure/evaluator.js'
import { readProjection } from '../src/select/measure/projection.js'
import { chooseReuse } from '../src/select/moves/reuse.js'
import { searchSkips } from '../src/select/moves/skip.js'

/** T5-XXL's depth; the width does not matter for counts. */
const DEEP_SIZES = { ...T5_XXL_SIZES, width: 32, heads: 2, headDim: 16, ff: 64, vocab: 256 }
const DEEP = t5Architecture(DEEP_SIZES)

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    calibration: { type: 'string' },
    projection: { type: 'string' },
    removals: { type: 'string' },
    prompts: { type: 'string', default: '16' },
    'cache-bytes': { type: 'string', default: String(2 ** 30) },
    precision: { type: 'string', default: 'f32' },
    fast: { type: 'boolean', default: false },
  },
})

async function main(): Promise<void> {
  const prompts = Number(values.prompts)
  if (values.model !== undefined && values.calibration !== undefined) {
    const chunks = await embedsChunks(values.calibration, prompts)
    await compare(values.model, values.model, chunks, Number(values.removals ?? 8))
    return
  }
  const folder = await mkdtemp(join(tmpdir(), 'skrr-bench-'))
  try {
    await writeSynthetic(join(folder, 'deep'), DEEP, { dtype: 'F32', seed: 1 })
    const name = `synthetic, ${DEEP_SIZES.blocks} blocks`
    await compare(name, join(folder, 'deep'), randomChunks(prompts), Number(values.removals ?? 24))
    console.log('\nGive --model and --calibration (inputs_embeds, null_embeds) to see a trained model.')
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function compare(name: string, path: string, chunks: Chunk[], removals: number): Promise<void> {
  const checkpoint = await openCheckpoint(path)
  const { architecture } = checkpoint
  const engine = await Engine.open(checkpoint, { device: 'cpu', precision: values.precision as Precision })
  await engine.loadPlan(Plan.dense(blocksOf(architecture)), [])
  const projection = values.projection
    ? await readProjection(values.projection, architecture.width)
    : undefined
  const tokens = chunks.reduce((sum, chunk) => sum + chunk.tokens, 0)
  console.log(`${name}: ${removals} removals, 3 beams, ${tokens} tokens`)
  console.log('beams             way        executions x tokens       s   cache MiB   skips')
  for (const dedup of [false, true]) {
    const found: string[] = []
    const executed: number[] = []
    let counted = 0
    for (const naive of values.fast ? [false] : [true, false]) {
      const start = performance.now()
      const evaluator = await Evaluator.create({
        engine,
        chunks,
        projection,
        naive,
        cacheBytes: Number(values['cache-bytes']),
      })
      const { beams } = await searchSkips(evaluator, {
        beams: 3,
        dedup,
        reached: (skips) => skips.length >= removals,
      })
      const { plan } = await chooseReuse(evaluator, beams[0]!.skips, { order: 'pruned' })
      const { work, memory } = evaluator
      evaluator.dispose()
      found.push(`${beams.map(({ skips }) => skips.join(',')).join(' ')} ${plan.table.join(',')}`)
      executed.push(work.executed)
      counted = work.naive
      const seconds = ((performance.now() - start) / 1000).toFixed(1)
      console.log(
        [
          (dedup ? 'sets' : 'permutations').padEnd(17),
          (naive ? 'naive' : 'fast').padEnd(6),
          String(work.executed).padStart(23),
          seconds.padStart(9),
          (memory.cachePeak / 2 ** 20).toFixed(0).padStart(9),
          `  ${beams[0]!.skips.slice(0, 8).join(' ')} ...`,
        ].join(' '),
      )
    }
    if (executed.length < 2) {
      console.log(`  ${(counted / executed[0]!).toFixed(1)} times fewer than the naive count`)
      continue
    }
    const same = found[0] === found[1] ? 'selections identical' : 'SELECTIONS DIFFER'
    console.log(`  ${(executed[0]! / executed[1]!).toFixed(1)} times fewer; ${same}`)
    if (found[0] !== found[1]) process.exitCode = 1
  }
  await engine.native.dispose()
}

/** Prompts of 8 to 40 made-up tokens; the null condition is T5's eos alone. */
function randomChunks(prompts: number): Chunk[] {
  let state = 7
  const next = (below: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
  const rows = Array.from({ length: prompts }, () => {
    const ids = Array.from({ length: 8 + next(32) }, () => 2 + next(DEEP_SIZES.vocab - 2))
    return Int32Array.from([...ids, 1])
  })
  const pack = (ids: Int32Array[]) =>
    finish(packTokens(ids, { pipeline: pipelines.none, padId: 0, vocab: DEEP_SIZES.vocab }))
  return [...chunksOf(pack(rows), DEEP.width, false), ...chunksOf(pack([Int32Array.of(1)]), DEEP.width, true)]
}

async function embedsChunks(file: string, prompts: number): Promise<Chunk[]> {
  const tensors = await readTensors(file)
  const packed = (name: string, rows: number) => {
    const tensor = tensors.get(name)
    const all = tensor && floatsOf(tensor)
    if (all === undefined) throw new Error(`${file}: no floating-point tensor ${name}`)
    const [batch = 0, tokens = 0, width = 0] = tensor!.shape
    const shape = [Math.min(batch, rows), tokens, width]
    const data = all.subarray(0, shape[0]! * tokens * width)
    return { batch: finish(packEmbeds({ data, shape }, undefined, { masked: 'zero', width })), width }
  }
  const calibration = packed('inputs_embeds', prompts)
  const none = packed('null_embeds', Infinity)
  return [...chunksOf(calibration.batch, calibration.width, false), ...chunksOf(none.batch, none.width, true)]
}

await main()
