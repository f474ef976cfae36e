import { blocksOf } from '../model/parameters.js'
import { existsSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { T5_V11_DEMO } from '../families/t5.js'
import { openCheckpoint } from '../checkpoint/open.js'
import { writeSynthetic } from '../export/synthetic.js'
import { action, type Run } from '../cli/command.js'
import { ByteBar } from '../cli/terminal.js'
import { resolvePlan, Encoder } from '../encoder.js'
import type { LoadOptions } from '../options.js'
import { ownPrecision } from '../native/precision.js'
import { native } from '../native/addon.js'
import type { Checkpoint } from '../checkpoint/types.js'
import { Plan } from '../plan/plan.js'
import { measure } from './measure.js'
import { costTable, footnotes, heading, planStrip, promptTable } from './page.js'
import { illustrativePlan } from './plan.js'

interface Options {
  model?: string
  plan?: string
  tokenizer?: string
  json?: never
}

const checkout = fileURLToPath(new URL('../..', import.meta.url))
const PROMPTS = join(checkout, 'test/data/prompts')
const TOKENIZER = join(checkout, 'test/data/tokenizers/t5')
const SPARSITY = 0.42

/** The demonstration: a page on a model, dense and under a plan. Needs the checkout; it is not part of the package. */
async function demo(options: Options, { signal }: Run): Promise<void> {
  const model = options.model ?? (await syntheticModel(signal))
  const checkpoint = await openCheckpoint(model)
  const { architecture } = checkpoint
  const { plan, origin } = await choosePlan(options.plan, checkpoint)
  const { isa, threads } = native().describe()
  const setting = {
    model: options.model ?? `${relative(process.cwd(), model)}/ (the shape of T5-v1.1 base)`,
    synthetic: options.model === undefined,
    architecture,
    precision: ownPrecision(checkpoint, undefined),
    machine: `CPU, ${isa}, ${threads} threads`,
  }
  print(heading(setting))

  const prompts = somePrompts()
  const { tokenizer } = options
  await warmUp(model, blocksOf(architecture), { tokenizer, signal })
  const dense = await measure(model, Plan.dense(blocksOf(architecture)), prompts, {
    label: 'dense',
    tokenizer,
    signal,
  })
  const planned = await measure(model, plan, prompts, { label: 'planned', tokenizer, signal })
  print(promptTable(prompts, dense.encoded, planned.encoded), '')
  print(costTable(architecture, dense, planned), '', footnotes(planned), '')
  print(planStrip(planned, origin))
}

/** What a process does once (addon, tokenizer, compiled JavaScript) must not count for the plan that comes first. */
async function warmUp(model: string, blocks: number, options: LoadOptions): Promise<void> {
  const nothing = Plan.skip(blocks, [...Array(2 * blocks).keys()])
  const encoder = await Encoder.load(model, { ...options, plan: nothing })
  await encoder.dispose()
}

const print = (...lines: string[]): boolean => process.stdout.write(`${lines.join('\n')}\n`)

/** Made once, 219 MB, in the checkout; the same on every machine. */
async function syntheticModel(signal: AbortSignal): Promise<string> {
  const folder = join(checkout, 'demo-model')
  if (existsSync(join(folder, 'config.json'))) return folder // folders appear whole or not at all
  const bar = new ByteBar('writing demo-model/')
  await writeSynthetic(folder, T5_V11_DEMO, {
    dtype: 'BF16',
    seed: 20250208,
    tokenizerFrom: TOKENIZER,
    signal,
    onProgress: bar.update,
  }).finally(() => bar.stop())
  return folder
}

async function choosePlan(
  asked: string | undefined,
  checkpoint: Checkpoint,
): Promise<{ plan: Plan; origin: string }> {
  if (asked !== undefined) return { plan: await resolvePlan(asked, checkpoint), origin: asked }
  if (blocksOf(checkpoint.architecture) === 24) {
    const plan = await resolvePlan('pixart-sigma-41.9', checkpoint)
    return { plan, origin: 'pixart-sigma-41.9, as published for T5-XXL' }
  }
  return {
    plan: illustrativePlan(checkpoint.architecture, SPARSITY),
    origin: 'by a simple rule, not chosen by calibration: it shows the cost, not the quality',
  }
}

/** Two prompts of each collection, short and long. */
function somePrompts(): string[] {
  const picks = { drawbench: [18, 190], geneval: [3, 420], parti: [7, 1200], dpg: [5, 30] }
  return Object.entries(picks).flatMap(([name, lines]) => {
    const all = readFileSync(join(PROMPTS, `${name}.txt`), 'utf8').split('\n')
    return lines.map((line) => all[line]!)
  })
}

await new Command('npm run demo --')
  .description('Encode prompts, dense and under a plan, and show what each costs')
  .option('--model <path>', 'your checkpoint; default: a synthetic one, made once in demo-model/')
  .option('--plan <file|preset>', 'default: pixart-sigma-41.9 for 24 blocks, else one by a simple rule')
  .option(
    '--tokenizer <path>',
    'tokenizer.json, spiece.model, tokenizer.model or their folder; default: beside the weights',
  )
  .showHelpAfterError('(--help shows the options)')
  .action(action(demo))
  .parseAsync()
