import { execFile } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { SkrrError } from '../errors.js'
import { addonFile, callNative, fromNative, native, type DeviceName } from './addon.js'
import { isPlainNode } from './plain-node.js'

/**
 * Opening a CUDA device runs code of a library beside ours and of a driver below it. If that is damaged it can end the process, so a
 * child process first loads it and asks for the device. Each device is asked for once, until the file changes; a failure is asked
 * again, since a driver may have been installed meanwhile. A process that cannot have such a child, since its executable is not
 * Node alone, asks by itself: who names a device wants it.
 * @returns the device's name
 * @throws SkrrError ERR_DEVICE
 */
export async function probeCuda(device: DeviceName): Promise<string> {
  const file = native().cudaLibraryPath()
  const index = Number(device.split(':')[1] ?? 0)
  const key = JSON.stringify([file, await version(file), index])
  const probe = probes.get(key) ?? (isPlainNode() ? askChild(file, index, false) : askHere(file, index))
  probes.set(key, probe)
  try {
    return await probe
  } catch (error) {
    probes.delete(key)
    throw error
  }
}

/**
 * Whether `auto` can trust the first CUDA device: the child also runs a small model on it and on the CPU, and both must agree. It is
 * asked once until the library changes, whatever the answer was: loading on the CPU should not start a process each time.
 */
export async function tryCuda(): Promise<{ works: true; name: string } | { works: false; why: string }> {
  const file = native().cudaLibraryPath()
  const found = await version(file)
  if (found === undefined) return { works: false, why: `this build is without CUDA (${file} was not found)` }
  if (!isPlainNode()) return { works: false, why: NO_CHILD }
  const key = JSON.stringify([file, found])
  const trial =
    trials.get(key) ??
    askChild(file, 0, true).then(
      (name) => ({ works: true as const, name }),
      (error: unknown) => ({ works: false as const, why: (error as Error).message }),
    )
  trials.set(key, trial)
  return await trial
}

const NO_CHILD =
  "CUDA is tried in a process of its own, and this executable is not Node alone; device 'cuda' uses it untried"

const probes = new Map<string, Promise<string>>()
const trials = new Map<string, ReturnType<typeof tryCuda>>()
const TIMEOUT_MS = 60_000

/** Undefined for a missing file: the child says what is missing. */
async function version(file: string): Promise<readonly number[] | undefined> {
  const status = await stat(file).catch(() => undefined)
  return status && [status.mtimeMs, status.size]
}

// It runs as a string: it needs only the addon, and works from dist/ and from sources.
const CHILD = `
  const [addon, library, device, check] = process.argv.slice(1)
  try {
    console.log(JSON.stringify({ name: require(addon).probeCuda(library, Number(device), check === 'check') }))
  } catch ({ code, message }) {
    console.log(JSON.stringify({ code, message }))
  }`

type Answer = { name: string } | { code: string; message: string }

async function askChild(library: string, device: number, check: boolean): Promise<string> {
  const { output, fate } = await runChild([addonFile(), library, String(device), check ? 'check' : ''])
  const answer = parse(output)
  if (answer && 'name' in answer) return answer.name
  if (answer) throw fromNative(Object.assign(new Error(answer.message), { code: answer.code }))
  throw new SkrrError('ERR_DEVICE', {
    field: 'device cuda',
    message: `${library}: a process that only tried it ${fate}`,
    hint: "The library or the NVIDIA driver is damaged: reinstall skrr, update the driver, or use device 'cpu'",
  })
}

const askHere = async (library: string, device: number): Promise<string> =>
  Promise.resolve(callNative(() => native().probeCuda(library, device, false)))

async function runChild(args: readonly string[]): Promise<{ output: string; fate: string }> {
  return await new Promise((resolve) => {
    execFile(process.execPath, ['-e', CHILD, ...args], { timeout: TIMEOUT_MS }, (error, output) => {
      if (error?.killed) resolve({ output, fate: `did not answer within ${TIMEOUT_MS / 1000} seconds` })
      else if (error?.signal) resolve({ output, fate: `crashed (${error.signal})` })
      else resolve({ output, fate: `ended without an answer (exit code ${error?.code ?? 0})` })
    })
  })
}

/** Parses the last line: a library may print when it is loaded. */
function parse(output: string): Answer | undefined {
  try {
    return JSON.parse(output.trimEnd().split('\n').at(-1)!) as Answer
  } catch {
    return undefined
  }
}
