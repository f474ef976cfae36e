import { realpathSync } from 'node:fs'
import { basename } from 'node:path'

/**
 * Whether process.execPath is Node and nothing else, so that `-e CODE` runs that code. Of a single executable (Node's own, pkg, Bun,
 * Deno) and of Electron it is the application: each one that ran to try a device would start the next.
 */
export function isPlainNode(): boolean {
  const { execPath, versions } = process
  if ('pkg' in process || versions['electron'] !== undefined) return false
  if (versions['bun'] !== undefined || versions['deno'] !== undefined) return false
  // asked for by name: other runtimes that import this file may be without it
  if (process.getBuiltinModule('node:sea').isSea()) return false
  return /^node(js)?[-.\d]*(\.exe)?$/.test(basename(execPath)) && isWhatRuns(execPath)
}

/** Whoever sets process.execPath names something else than what runs. */
function isWhatRuns(execPath: string): boolean {
  if (process.platform !== 'linux') return true
  try {
    return realpathSync(execPath) === realpathSync('/proc/self/exe')
  } catch {
    return false // no /proc, or a binary that was replaced meanwhile
  }
}
