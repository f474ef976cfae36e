// Chooses which sub-blocks of a text encoder to skip and re-use: node select.mjs MODEL PROMPTS.txt SPARSITY [PROJECTION]
import { readFile } from 'node:fs/promises'
import { selectPlan, strip, Encoder, writePlan } from 'skrr'

const [model, file, sparsity, projection] = process.argv.slice(2)
const prompts = (await readFile(file, 'utf8')).trim().split('\n')
const encoder = await Encoder.load(model)

const { plan, D, work } = await selectPlan(encoder, prompts, {
  target: { sparsity: Number(sparsity) },
  projection,
  journal: 'plan.json.journal',
  resume: true,
  onProgress: ({ phase, D }) => process.stderr.write(`\r${phase}  D ${D?.total.toPrecision(4) ?? '-'}    `),
})
await writePlan('plan.json', plan)
await encoder.dispose()

console.log(`\n${strip(plan, { color: true })}\n`)
console.log(
  `${(100 * plan.sparsity(encoder.architecture)).toFixed(1)} % removed, D ${D.total.toPrecision(4)}`,
)
console.log(`${(work.naive / work.executed).toFixed(1)} times less work than measuring every plan in full`)
