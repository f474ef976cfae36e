// One run of bench/t5-xxl.ts, in a process that holds nothing else: loads, encodes, prints what it took as JSON.
// Arguments: model folder, plan (- for the model's own), precision, file of prompts, numbers of tokens joined by commas.
// It ends when its stdin does, so that its pages can be looked at while it holds them.
import { readFileSync } from 'node:fs'
import { Encoder } from 'skrr'

const [model, plan, precision, prompts, tokens] = process.argv.slice(2)

/** A line of a file in /proc/self, in bytes. */
const proc = (file, field) => {
  const [, value, unit] = new RegExp(`^${field}:\\s*(\\d+)( kB)?`, 'm').exec(
    readFileSync(`/proc/self/${file}`, 'utf8'),
  )
  return Number(value) * (unit ? 1024 : 1)
}

const bare = proc('status', 'VmRSS')
const readBefore = proc('io', 'read_bytes')
let fileLoading = 0
const loadStarted = performance.now()
const encoder = await Encoder.load(model, {
  plan: plan === '-' ? undefined : plan,
  precision,
  onProgress: () => (fileLoading = Math.max(fileLoading, proc('status', 'RssFile'))),
})
const loadMs = performance.now() - loadStarted
const fromDisk = proc('io', 'read_bytes') - readBefore

const text = readFileSync(prompts, 'utf8').split('\n').slice(0, 20).join(' ') // cut to the length asked for
const encodeMs = {}
let firstMs
for (const maxTokens of tokens.split(',').map(Number)) {
  const times = []
  for (let run = 0; run < 4; run++) {
    const started = performance.now()
    const { shape } = await encoder.encode(text, { maxTokens })
    times.push(performance.now() - started)
    if (shape[1] !== maxTokens) throw new Error(`found ${shape[1]} tokens, expected ${maxTokens}`)
  }
  firstMs ??= times[0]
  encodeMs[maxTokens] = times.slice(1).sort((a, b) => a - b)[1] // the median of three, the first not counted
}

const result = {
  loadMs,
  fromDisk,
  firstMs,
  encodeMs,
  memory: encoder.memory,
  peak: process.resourceUsage().maxRSS * 1024,
  anonymous: proc('status', 'RssAnon'),
  file: proc('status', 'RssFile'),
  fileLoading,
  bare,
}
console.log(JSON.stringify(result))
for await (const _ of process.stdin);
await encoder.dispose()
