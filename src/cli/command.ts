import { constants } from 'node:os'
import { Command, InvalidArgumentError, Option } from 'commander'
import { DEVICE_NAMES, isDevice } from '../native/device.js'
import { SkrrError, type ErrorCode } from '../errors.js'
import type { DeviceName } from '../native/addon.js'
import { listPresets } from '../plan/presets.js'
import { PRECISIONS } from '../model/precision.js'

/** What every action gets beside its options. */
export interface Run {
  /** Aborted by Ctrl-C, SIGTERM and SIGHUP. */
  readonly signal: AbortSignal
}

/** A command on a model, with the options that all of these share. */
export function modelCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .requiredOption('--model <path>', 'Hugging Face or diffusers folder, or a single .safetensors file')
    .option('--text-encoder <folder>', 'which encoder of a diffusers folder, such as text_encoder_2')
    .addOption(planOption())
    .option('--json', 'print one JSON object on stdout, errors too')
}

export const precisionOption = (
  byDefault = 'the one a packed checkpoint is in, f32 for F32 checkpoints, else bf16; on CUDA bf16',
): Option => new Option('--precision <name>', `weights in memory; default: ${byDefault}`).choices(PRECISIONS)

function planOption(): Option {
  const names = listPresets().map((preset) => preset.name)
  return new Option(
    '--plan <file|preset>',
    `plan file or preset (${names.join(', ')}); default: the plan the model was exported under, else dense`,
  )
}

/** Signals that end a command, and what it says then. */
const ENDINGS = { SIGINT: 'interrupted', SIGTERM: 'terminated', SIGHUP: 'hung up' } as const
type Ending = keyof typeof ENDINGS
const SIGNALS = Object.keys(ENDINGS) as Ending[]

/** As shells have it. */
const exitCode = (signal: Ending): number => 128 + constants.signals[signal]

/**
 * Runs an action as a terminal program: a signal aborts it cleanly (exit code 128 + its number, 130 for Ctrl-C), a second one ends
 * the process at once. A SkrrError is one line on stderr (with --json an object on stdout) and exit code 1. Anything else is a bug
 * and keeps its stack.
 */
export function action<O extends { json?: true }>(
  run: (options: O, context: Run) => Promise<void>,
): (options: O) => Promise<void> {
  return async (options) => {
    const ended = new AbortController()
    let by: Ending | undefined
    const end = (signal: Ending): void => {
      if (by !== undefined) process.exit(exitCode(signal))
      by = signal
      ended.abort(new Error(ENDINGS[signal]))
    }
    for (const signal of SIGNALS) process.on(signal, end)
    try {
      await run(options, { signal: ended.signal })
    } catch (error) {
      if (by === undefined) reportError(error, options.json)
      else {
        process.stderr.write(`${ENDINGS[by]}\n`)
        process.exitCode = exitCode(by)
      }
    } finally {
      for (const signal of SIGNALS) process.off(signal, end)
    }
  }
}

function reportError(error: unknown, asJson: true | undefined): void {
  if (!(error instanceof SkrrError)) throw error
  const { code, message } = error
  const { file, field, found, expected, hint } = error.detail
  if (asJson) printJson({ error: { code, message, file, field, found, expected, hint } })
  else process.stderr.write(`error: ${message}\n`)
  process.exitCode = 1
}

/** Makes errors of the command line itself an object on stdout with --json, as an action's are. */
export function reportUsageErrors(program: Command): void {
  const asJson = process.argv.includes('--json')
  for (const command of [program, ...program.commands]) {
    command.configureOutput({
      outputError: (text, write) => {
        const message = text.replace(/^error: /, '').trimEnd()
        if (asJson) printJson({ error: { code: 'ERR_INPUT' satisfies ErrorCode, message } })
        else write(text)
      },
    })
  }
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}

/** A device by its name. Whether the machine has it shows when it is opened. */
export function deviceName(text: string): 'auto' | DeviceName {
  if (isDevice(text)) return text
  throw new InvalidArgumentError(`Expected ${DEVICE_NAMES}.`)
}

/** An option that is a whole number of at least `min`. */
export function wholeNumber(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (Number.isSafeInteger(value) && value >= min) return value
    throw new InvalidArgumentError(`Expected a whole number of at least ${min}.`)
  }
}
