import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'

const MAIN = join(import.meta.dirname, '../../dist/cli/main.js')

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Runs `skrr` as a shell would, its output piped; `npm test` has built it. */
export async function skrr(
  args: readonly string[],
  options: { cwd?: string; stdin?: string } = {},
): Promise<Outcome> {
  const child = start(args, options.cwd)
  child.stdin!.end(options.stdin ?? '')
  return await outcome(child)
}

export function start(args: readonly string[], cwd?: string): ChildProcess {
  const env = { ...process.env, NO_COLOR: '1' }
  return spawn(process.execPath, [MAIN, ...args], { stdio: 'pipe', env, cwd })
}

export async function outcome(child: ChildProcess): Promise<Outcome> {
  const output = Promise.all([text(child.stdout!), text(child.stderr!)])
  const [code] = (await once(child, 'close')) as [number | null]
  const [stdout, stderr] = await output
  return { code, stdout, stderr }
}

/** The object a successful `--json` command printed. */
export async function skrrJson<T>(
  args: readonly string[],
  options: { cwd?: string; stdin?: string } = {},
): Promise<T> {
  const { code, stdout, stderr } = await skrr([...args, '--json'], options)
  if (code !== 0) throw new Error(`exit code ${code}: ${stdout}${stderr}`)
  return JSON.parse(stdout) as T
}
