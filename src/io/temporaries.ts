import { createHash, randomBytes } from 'node:crypto'
import { readlinkSync, rmSync } from 'node:fs'
import { readdir, rm } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'

/**
 * Outputs in the making, `.NAME.PID-PLACE-RANDOM.tmp` beside NAME: those who list the folder leave out names with a leading dot. They
 * go when the work ends, also by an error or process.exit(); those of a process that was killed go when NAME is written next.
 */

/** Those of this process. */
const live = new Set<string>()

/** Hands on a name for `path` in the making, and removes what is still under it in the end. */
export async function withTemporary<T>(path: string, use: (temporary: string) => Promise<T>): Promise<T> {
  const [folder, name] = [dirname(resolve(path)), basename(resolve(path))]
  await sweep(folder, name)
  const temporary = join(folder, `.${name}.${process.pid}-${PLACE}-${randomBytes(4).toString('hex')}.tmp`)
  if (live.size === 0) process.on('exit', removeLive)
  live.add(temporary)
  try {
    return await use(temporary)
  } finally {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined)
    live.delete(temporary)
    if (live.size === 0) process.off('exit', removeLive)
  }
}

function removeLive(): void {
  for (const temporary of live) {
    try {
      rmSync(temporary, { recursive: true, force: true })
    } catch {
      continue // the next one may still go
    }
  }
}

/** A process id says nothing on another machine, or in another container, that writes into the same folder. */
const PLACE = createHash('sha256').update(`${hostname()}\n${pidNamespace()}`).digest('hex').slice(0, 8)

function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    return 'none' // no /proc
  }
}

/** Removes what processes of this place left that are no more. What cannot be read or removed stays: it is in nobody's way. */
async function sweep(folder: string, name: string): Promise<void> {
  const names = await readdir(folder).catch(() => [])
  const stale = names.filter((other) => {
    if (!other.startsWith(`.${name}.`)) return false
    const [, pid, place] = /^(\d+)-([0-9a-f]{8})-[0-9a-f]{8}\.tmp$/.exec(other.slice(name.length + 2)) ?? []
    return place === PLACE && !isRunning(Number(pid))
  })
  await Promise.all(
    stale.map((other) => rm(join(folder, other), { recursive: true, force: true }).catch(() => undefined)),
  )
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== 'ESRCH' // another user's may not be asked
  }
}
