import { randomBytes } from 'node:crypto'
import { mkdir, open, readdir, rename, rm, type FileHandle } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { OutputError, SkrrError } from '../errors.js'
import { ioReason, isFolder } from './files.js'

/** Outputs appear whole under their name or not at all: they are written beside it under another name, flushed and renamed. */

/** Writes a file through `fill`. Throws OutputError, or whatever `fill` itself threw of ours or by an abort. */
export async function writeFileAtomically(
  file: string,
  fill: (handle: FileHandle) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  const temporary = temporaryName(file)
  try {
    signal?.throwIfAborted()
    const handle = await open(temporary, 'wx')
    try {
      await fill(handle)
      await handle.sync()
    } finally {
      await handle.close()
    }
    signal?.throwIfAborted()
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw asOutputError(file, error, signal)
  }
}

/** Whether writeFileAtomically() would come to a file: asked before work whose result could not be kept. Throws OutputError. */
export async function checkWritable(file: string): Promise<void> {
  const temporary = temporaryName(file)
  try {
    if (await isFolder(file)) throw Object.assign(new Error(), { code: 'EISDIR' })
    await (await open(temporary, 'wx')).close()
    await rm(temporary)
  } catch (error) {
    throw asOutputError(file, error, undefined)
  }
}

/** Makes a new folder through `fill`, which gets the temporary path. An existing folder must be empty. */
export async function writeFolderAtomically(
  folder: string,
  fill: (temporary: string) => Promise<void>,
  signal?: AbortSignal,
): Promise<void> {
  await checkEmpty(folder)
  const temporary = temporaryName(folder)
  try {
    signal?.throwIfAborted()
    await mkdir(temporary)
    await fill(temporary)
    signal?.throwIfAborted()
    await putInPlace(temporary, folder)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true }).catch(() => undefined)
    throw asOutputError(folder, underFinalName(error, temporary, folder), signal)
  }
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

// a name with a leading dot is left out by those who list the folder meanwhile
const temporaryName = (path: string): string =>
  join(dirname(resolve(path)), `.${basename(resolve(path))}.${randomBytes(6).toString('hex')}.tmp`)

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
