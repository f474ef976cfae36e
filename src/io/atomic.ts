import type { Stats } from 'node:fs'
import { mkdir, open, readdir, readlink, realpath, rename, stat, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { OutputError, SkrrError } from '../errors.js'
import { ioReason } from './files.js'
import { withTemporary } from './temporaries.js'

/**
 * Outputs appear whole under their name or not at all: they are written beside it under another name, flushed and renamed. A symbolic
 * link stays what it is: what it points to is replaced, or made.
 */

/** As many as Linux follows. */
const MOST_LINKS = 40

/** The path that a file or folder is written under: the end of all links, also where nothing is there. @throws OutputError */
export async function placeOf(path: string): Promise<string> {
  let place = resolve(path)
  for (let links = 0; links <= MOST_LINKS; links++) {
    const folder = await realpath(dirname(place)).catch(() => dirname(place)) // what is wrong with it, open() says
    place = join(folder, basename(place))
    const target = await readlink(place).catch(() => undefined) // no link
    if (target === undefined) return place
    place = resolve(folder, target)
  }
  throw new OutputError({
    file: path,
    found: 'a link that leads to itself',
    expected: 'a file, there or new',
  })
}

/**
 * Writes a file through `fill`. What it replaces hands on its permissions, from the first byte on; a new one gets those of the umask.
 * Throws OutputError, or whatever `fill` itself threw of ours or by an abort.
 */
export async function writeFileAtomically(
  file: string,
  fill: (handle: FileHandle) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  try {
    signal?.throwIfAborted()
    const old = await replaceable(file)
    const place = await placeOf(file)
    await withTemporary(place, async (temporary) => {
      const handle = await open(temporary, 'wx', old === undefined ? 0o666 : 0o600)
      try {
        if (old !== undefined) await takePermissions(handle, old)
        await fill(handle)
        await handle.sync()
      } finally {
        await handle.close()
      }
      signal?.throwIfAborted()
      await rename(temporary, place)
    })
  } catch (error) {
    throw asOutputError(file, error, signal)
  }
}

/** Whether writeFileAtomically() would come to a file: asked before work whose result could not be kept. Throws OutputError. */
export async function checkWritable(file: string): Promise<void> {
  try {
    await replaceable(file)
    await withTemporary(await placeOf(file), async (temporary) =>
      (await open(temporary, 'wx', 0o600)).close(),
    )
  } catch (error) {
    throw asOutputError(file, error, undefined)
  }
}

/** The file that is there. @throws OutputError: whoever may do so would put a file in the place of a device, such as /dev/null */
async function replaceable(file: string): Promise<Stats | undefined> {
  const old = await stat(file).catch(() => undefined) // what is wrong with the path, open() says
  if (old === undefined || old.isFile()) return old
  if (old.isDirectory()) throw Object.assign(new Error(), { code: 'EISDIR' })
  throw new OutputError({ file, found: 'a device, pipe or socket', expected: 'a file, there or new' })
}

/** Mode, owner and group of what is replaced. A group that this user may not give gets nothing, since it is another one. */
async function takePermissions(made: FileHandle, { uid, gid, mode }: Stats): Promise<void> {
  const own = await made.stat()
  let bits = mode & 0o777
  if (own.uid !== uid || own.gid !== gid) {
    await made
      .chown(uid, gid)
      .catch(() => made.chown(own.uid, gid))
      .catch(() => (bits &= 0o707))
  }
  await made.chmod(bits)
}

/** Makes a new folder through `fill`, which gets the temporary path. An existing folder must be empty; its permissions stay. */
export async function writeFolderAtomically(
  folder: string,
  fill: (temporary: string) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  await checkEmpty(folder)
  const old = await stat(folder).catch(() => undefined)
  const place = await placeOf(folder)
  await withTemporary(place, async (temporary) => {
    try {
      signal?.throwIfAborted()
      await mkdir(temporary, old === undefined ? 0o777 : 0o700)
      await fill(temporary)
      signal?.throwIfAborted()
      if (old !== undefined) await takeFolderPermissions(temporary, old)
      await putInPlace(temporary, place)
    } catch (error) {
      throw asOutputError(folder, underFinalName(error, temporary, folder), signal)
    }
  })
}

async function takeFolderPermissions(made: string, old: Stats): Promise<void> {
  const handle = await open(made, 'r')
  await takePermissions(handle, old).finally(() => handle.close())
}

/** An empty folder is replaced in one step; what another process has put there meanwhile is not. */
async function putInPlace(temporary: string, folder: string): Promise<void> {
  try {
    await rename(temporary, folder)
  } catch (error) {
    await checkEmpty(folder)
    throw error
  }
}

/** @throws OutputError where something lies there that must not be touched */
async function checkEmpty(folder: string): Promise<void> {
  let names: string[]
  try {
    names = await readdir(folder)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return
    const found =
      error instanceof Error && 'code' in error && error.code === 'ENOTDIR' ? 'a file' : ioReason(error)
    throw new OutputError({ file: folder, found, expected: 'a new or empty folder' }, { cause: error })
  }
  if (names.length === 0) return
  throw new OutputError({
    file: folder,
    found: `a folder with ${names.length} entries`,
    expected: 'a new or empty folder',
    hint: 'Nothing was written.',
  })
}

/** The user never chose the temporary name, and it is gone by now. */
function underFinalName(error: unknown, temporary: string, folder: string): unknown {
  if (!(error instanceof OutputError) || error.detail.file?.startsWith(temporary) !== true) return error
  const file = join(folder, error.detail.file.slice(temporary.length))
  return new OutputError({ ...error.detail, file }, { cause: error.cause })
}

function asOutputError(file: string, error: unknown, signal: AbortSignal | undefined): unknown {
  if (error instanceof SkrrError || (signal?.aborted === true && error === signal.reason)) return error
  return new OutputError({ file, message: `cannot be written: ${ioReason(error)}` }, { cause: error })
}
