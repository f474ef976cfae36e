/**
 * What precisions cost on trained weights: the relative error of the projected features against float32, on data the model was
 * made for, with the bytes each takes.
 *
 *     node scripts/run-ts.mjs bench/precision-accuracy.ts --model FOLDER --inputs FILE [--projection FILE]
 *
 * FILE holds inputs_embeds [prompts, tokens, width]; `projection` is the module that takes the embedding (src/select/measure/projection.ts).
 * SKRR_CPU_ISA tells kernels that multiply integers (amx, avx512vnni: activations quantised too) from those that do not.
 */
import { parseArgs } from 'node:util'
import { floatsOf, readTensors } from '../src/checkpoint/tensor-file.js'
import { Encoder } from '../src/encoder.js'
import type { EncoderInput } from '../src/options.js'
import { isAttention } from '../src/model/architecture.js'
import { blocksOf } from '../src/model/parameters.js'
import { native, type NativeMapLayer } from '../src/native/addon.js'
import { Plan } from '../src/plan/plan.js'
import type { Precision } from '../src/model/precision.js'
import { readProjection } from '../src/select/measure/projection.js'
import { reduceProjection } from '../src/select/measure/reduce.js'

const { values } = parseArgs({
  options: { model: { type: 'string' }, inputs: { type: 'string' }, projection: { type: 'string' } },
})
const { model, inputs: file } = values
if (model === undefined || file === undefined) throw new Error('--model and --inputs are needed')

const tensor = (await readTensors(file)).get('inputs_embeds')
const data = tensor && floatsOf(tensor)
if (data === undefined) throw new Error(`${file}: no floating-point tensor inputs_embeds`)
const input: EncoderInput = { inputsEmbeds: { data, shape: tensor!.shape } }
const [clips = 0, tokens = 0] = tensor!.shape

const exact = await Encoder.load(model, { precision: 'f32' })
const { architecture } = exact
const last = 2 * blocksOf(architecture) - 1
const projection = values.projection && (await readProjection(values.projection, architecture.width))
const layer = projection ? reduceProjection(projection)[0] : undefined

type Choose = (subBlock: number) => Precision
const CHOICES: Record<string, Choose> = {
  bf16: () => 'bf16',
  int8: () => 'int8',
  int4: () => 'int4',
  'int4, last feed-forward int8': (s) => (s === last ? 'int8' : 'int4'),
  'int4, first and last block int8': (s) => (s < 2 || s >= last - 1 ? 'int8' : 'int4'),
  'int4, attention int8': (s) => (isAttention(s) ? 'int8' : 'int4'),
  'int4, feed-forward int8': (s) => (isAttention(s) ? 'int4' : 'int8'),
}

/** y = W x for every row x of `rows`; W keeps lengths as the whole projection does (src/select/measure/reduce.ts). */
function project(rows: ArrayLike<number>, { weight, columns }: NativeMapLayer): Float64Array {
  const outputs = weight.length / columns
  const out = new Float64Array((rows.length / columns) * outputs)
  for (let r = 0; r < rows.length / columns; r++) {
    for (let o = 0; o < outputs; o++) {
      let sum = 0
      for (let c = 0; c < columns; c++) sum += weight[o * columns + c]! * rows[r * columns + c]!
      out[r * outputs + o] = sum
    }
  }
  return out
}

const features = (rows: ArrayLike<number>): ArrayLike<number> => (layer ? project(rows, layer) : rows)

/** |a - b| / |b| of each clip, and of all. */
function relative(a: ArrayLike<number>, b: ArrayLike<number>): { all: number; worst: number } {
  const size = b.length / clips
  let [difference, length, worst] = [0, 0, 0]
  for (let clip = 0; clip < clips; clip++) {
    let [d, l] = [0, 0]
    for (let i = clip * size; i < (clip + 1) * size; i++) {
      d += (a[i]! - b[i]!) ** 2
      l += b[i]! ** 2
    }
    worst = Math.max(worst, Math.sqrt(d / l))
    difference += d
    length += l
  }
  return { all: Math.sqrt(difference / length), worst }
}

const percent = (x: number): string => `${(100 * x).toFixed(3)} %`
const reference = (await exact.encode(input)).embeddings
const projected = features(reference)
console.log(`${clips} clips x ${tokens} tokens, ${native().describe().isa}\n`)
console.log('| weights | MB | embedding | projected features | worst clip |\n|---|---:|---:|---:|---:|')
for (const [name, choose] of Object.entries(CHOICES)) {
  const { table } = Plan.dense(blocksOf(architecture))
  const plan = new Plan(table, { precisions: table.map((_, s) => choose(s)) })
  const encoder = await Encoder.load(model, { plan })
  const { embeddings } = await encoder.encode(input)
  const after = relative(features(embeddings), projected)
  const cells = [
    (encoder.memory.weights / 1e6).toFixed(1),
    percent(relative(embeddings, reference).all),
    percent(after.all),
    percent(after.worst),
  ]
  console.log(`| ${name} | ${cells.join(' | ')} |`)
  await encoder.dispose()
}
await exact.dispose()
