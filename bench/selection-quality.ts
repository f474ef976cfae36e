/**
 * All methods at equal bytes: chosen on a calibration set, judged by D on a validation set that none of them saw.
 *
 *     node scripts/run-ts.mjs bench/selection-quality.ts --model FOLDER --calibration FILE --validation FILE
 *         [--projection FILE] [--sparsity 0.25,0.42] [--prompts N] [--methods paper,skrr] [--report FILE.html]
 *         [--compensate 8,32 --fit-prompts N] [--plans FILE,FILE]
 *
 * The files hold inputs_embeds [prompts, tokens, width]; calibration also null_embeds. The paper's method sets the bytes of a
 * row; the others get as many, to 0.05 %. Searches run in bf16, D is taken in float32. With --compensate, each plan is also judged with maps
 * of these ranks, fitted to as many calibration prompts as --fit-prompts says. --plans judges these plans instead of searching.
 */
import { parseArgs } from 'node:util'
import { floatsOf, readTensors } from '../src/checkpoint/tensor-file.js'
import { Encoder } from '../src/encoder.js'
import { readPlan } from '../src/plan/file.js'
import { Plan } from '../src/plan/plan.js'
import { writeReport } from '../src/report/report.js'
import { chunksOf, packNull, packCalibration } from '../src/select/measure/calibration.js'
import { compensate } from '../src/select/methods/compensate.js'
import { selectPlan, type Discrepancy, type Selection, type SelectOptions } from '../src/select/index.js'
import { Evaluator } from '../src/select/measure/evaluator.js'
import { readProjection } from '../src/select/measure/projection.js'
import { reduceProjection } from '../src/select/measure/reduce.js'
import { weightBytes, type Target } from '../src/select/measure/target.js'

const { values } = parseArgs({
  options: {
    model: { type: 'string' },
    calibration: { type: 'string' },
    validation: { type: 'string' },
    projection: { type: 'string' },
    prompts: { type: 'string', default: '8' },
    sparsity: { type: 'string', default: '0.25,0.33,0.42,0.5' },
    methods: { type: 'string' },
    report: { type: 'string' },
    compensate: { type: 'string' },
    'fit-prompts': { type: 'string' },
    plans: { type: 'string' },
  },
})
const { model, calibration: calibrationFile, validation: validationFile } = values
if (model === undefined || calibrationFile === undefined || validationFile === undefined) {
  throw new Error('--model, --calibration and --validation are needed')
}

const VARIANTS: Record<string, Partial<SelectOptions>> = {
  shortgpt: { method: 'shortgpt' },
  'shortgpt + re-use': { method: 'shortgpt', reuse: true },
  finercut: { method: 'finercut' },
  'finercut + re-use': { method: 'finercut', reuse: true },
  laco: { method: 'laco' },
  'laco + re-use': { method: 'laco', reuse: true },
  'finercut, cosine': { method: 'finercut', metric: 'cosine' },
  'paper, skip only': { method: 'paper', reuse: false },
  'paper, ascending': { method: 'paper', reuseOrder: 'ascending' },
  skrr: { method: 'skrr' },
}

async function embeds(file: string, name: string, prompts = Infinity) {
  const tensor = (await readTensors(file)).get(name)
  const data = tensor && floatsOf(tensor)
  if (data === undefined) throw new Error(`${file}: no floating-point tensor ${name}`)
  const [rows = 0, tokens = 0, width = 0] = tensor!.shape
  const kept = Math.min(rows, prompts)
  return {
    inputsEmbeds: { data: data.subarray(0, kept * tokens * width), shape: [kept, tokens, width] },
  }
}

const calibration = await embeds(calibrationFile, 'inputs_embeds', Number(values.prompts))
const nullCondition = await embeds(calibrationFile, 'null_embeds')
const validation = await embeds(validationFile, 'inputs_embeds')

const searched = await Encoder.load(model, { precision: 'bf16' })
const exact = await Encoder.load(model, { precision: 'f32' })
const { architecture, checkpoint } = exact
const projection = values.projection && (await readProjection(values.projection, architecture.width))
const packing = { checkpoint, maxTokens: 512 }
const evaluate = async (encoder: Encoder, prompts: typeof calibration): Promise<Evaluator> =>
  Evaluator.create({
    engine: encoder.engine,
    projection: projection || undefined,
    cacheBytes: 0,
    chunks: [
      ...chunksOf(await packCalibration(prompts, packing), architecture.width, false),
      ...chunksOf(await packNull(nullCondition, packing), architecture.width, true),
    ],
  })
const judge = await evaluate(exact, validation)
const ranks = values.compensate?.split(',').map(Number) ?? []
const fitted =
  ranks.length > 0
    ? await evaluate(
        searched,
        await embeds(calibrationFile, 'inputs_embeds', Number(values['fit-prompts'] ?? values.prompts)),
      )
    : undefined

/** The plan with a map of each rank; what it costs is said, since it is not in the row's bytes. */
async function withMaps(plan: Plan, reference: number): Promise<void> {
  for (const rank of ranks) {
    const { plan: whole, trace } = await compensate(fitted!, plan, rank, () => undefined)
    const more = weightBytes(whole, architecture, 'bf16') / weightBytes(plan, architecture, 'bf16') - 1
    const name = `  + rank ${rank}, ridge ${trace.ridge ?? '-'}, ${(100 * more).toFixed(2)} %`
    line(name, whole, await judge.discrepancy(whole), Math.min(...trace.ridges.map(({ D }) => D)), reference)
  }
}

function line(
  name: string,
  plan: Plan,
  D: { total: number; null: number },
  chosenBy: number,
  reference: number,
): void {
  const cells = [
    `${(100 * plan.sparsity(architecture)).toFixed(1)} %`,
    chosenBy.toFixed(4),
    D.total.toFixed(4),
    D.null.toFixed(4),
    `${(100 * (D.total / reference - 1)).toFixed(0)} %`,
  ]
  console.log(name.padEnd(28) + cells.map((cell) => cell.padStart(12)).join(''))
}

/** D of the dense encoder in bf16, its features taken from both encoders' embeddings. */
async function bf16(): Promise<number> {
  const layers = projection ? reduceProjection(projection) : []
  let D = 0
  for (const input of [validation, nullCondition]) {
    const [a, b] = [await exact.encode(input), await searched.encode(input)]
    D += meanSquare(a.embeddings, b.embeddings, layers[0])
  }
  return D
}

function meanSquare(
  a: ArrayLike<number>,
  b: ArrayLike<number>,
  layer: { weight: Float32Array; rows: number } | undefined,
): number {
  const { width } = architecture
  const features = (projection && projection[0]?.rows) || width
  let sum = 0
  for (let t = 0; t < a.length; t += width) {
    const d = Float64Array.from({ length: width }, (_, i) => a[t + i]! - b[t + i]!)
    for (let r = 0; r < (layer?.rows ?? width); r++) {
      const y = layer ? d.reduce((dot, x, i) => dot + x * layer.weight[r * width + i]!, 0) : d[r]!
      sum += y * y
    }
  }
  return (sum / a.length) * (width / features)
}

async function run(target: Target, options: Partial<SelectOptions>) {
  const start = performance.now()
  const selection = await selectPlan(searched, calibration, {
    target,
    null: nullCondition,
    onProgress: ({ phase, D, plan }) => {
      if (D && process.env['VERBOSE'])
        process.stderr.write(`${phase} ${D.total.toFixed(4)} ${plan.table.map((x) => x ?? '-').join(' ')}\n`)
    },
    ...(projection && { projection }),
    ...options,
  })
  const seconds = (performance.now() - start) / 1000
  const judged = await judge.discrepancy(selection.plan)
  await note(selection, judged)
  return { ...selection, seconds, judged }
}

/** For the report: as judged on the validation set, without the way there, which was measured on the calibration set. */
async function note(selection: Selection, D: Discrepancy): Promise<void> {
  const norms = await judge.norms(selection.plan)
  const { method, metric, projection, work } = selection.trace
  reported.push({
    ...selection,
    D,
    relative: { calibration: D.calibration / norms.calibration.dense, null: D.null / norms.null.dense },
    nullNorm: Math.sqrt(norms.null.squares / norms.null.dense),
    trace: { method, metric, projection, work, D: D.total, D_calibration: D.calibration, D_null: D.null },
  })
}
const reported: Selection[] = []

console.log(`dense in bf16: D ${(await bf16()).toExponential(2)} on validation\n`)
console.log(
  'method'.padEnd(28) +
    ['sparsity', 'D chosen by', 'validation', 'null', 'to paper'].map((c) => c.padStart(12)).join(''),
)
for (const file of values.plans?.split(',') ?? []) {
  const plan = await readPlan(file)
  const D = await judge.discrepancy(plan)
  line(file.slice(-27), plan, D, NaN, D.total)
  await withMaps(plan, D.total)
}
const names = values.methods?.split(',') ?? Object.keys(VARIANTS)
for (const sparsity of values.plans === undefined ? values.sparsity.split(',').map(Number) : []) {
  const paper = await run({ sparsity }, { method: 'paper' })
  const reference = paper.judged.total
  // a norm more or less, a kilobyte, must not decide which sets of sub-blocks are as large
  const bytes = Math.ceil(1.0005 * weightBytes(paper.plan, architecture, 'bf16'))
  line('paper', paper.plan, paper.judged, paper.D.total, reference)
  await withMaps(paper.plan, reference)
  for (const name of names) {
    const variant = VARIANTS[name]
    if (variant === undefined) continue
    const found = await run({ bytes }, variant)
    // the last plan of each kind of change: what the parts of the method are worth
    const steps = found.trace.refine ?? []
    for (const [i, step] of steps.entries()) {
      if (steps[i + 1]?.move === step.move) continue
      const plan = new Plan(
        step.plan.map((source) => (source < 0 ? null : source)),
        { scales: step.scales },
      )
      line(`  ... ${step.move}`, plan, await judge.discrepancy(plan), step.D, reference)
    }
    line(name, found.plan, found.judged, found.D.total, reference)
    await withMaps(found.plan, reference)
    console.log(
      `  ${found.seconds.toFixed(0)} s, ${found.plan.table.map((s) => s ?? '-').join(' ')}; scales ${found.plan.scales.join(' ')}`,
    )
  }
  console.log('')
}
if (values.report !== undefined) {
  const ours = ({ trace }: Selection): number => (trace.method === 'skrr' ? 0 : 1)
  const selections = reported.toSorted((a, b) => ours(a) - ours(b))
  await writeReport(values.report, selections, { architecture, precision: 'bf16', model, plan: 'plan.json' })
}
judge.dispose()
fitted?.dispose()
await searched.dispose()
await exact.dispose()
