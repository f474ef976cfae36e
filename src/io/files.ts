import { constants } from 'node:fs'
import { open, readdir, stat, type FileHandle } from 'node:fs/promises'
import { CheckpointError } from '../errors.js'

/** One read or write call: large enough to keep a disk busy, small enough for an abort to be felt at once. */
export const CHUNK_BYTES = 4 << 20

/** An error of the operating system, in words a user can act on. */
export function ioReason(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : ''
  const known: Record<string, string> = {
    ENOENT: 'there is no such file or folder',
    ENOTDIR: 'a part of the path is not a folder',
    EACCES: 'permission denied',
    EPERM: 'permission denied',
    EROFS: 'the file system is read-only',
    ENOSPC: 'the disk is full',
    EISDIR: 'it is a folder',
    EEXIST: 'it already exists',
    EMFILE: 'too many files are open',
    EPIPE: 'its reader closed it',
    ENAMETOOLONG: 'the name is too long',
  }
  return known[code] ?? (error instanceof Error ? error.message : String(error))
}

/** Opens a regular file for reading, hands it on with its size, and closes it again. */
export async function withFile<T>(
  file: string,
  use: (handle: FileHandle, size: number) => Promise<T>,
): Promise<T> {
  const handle = await openRegular(file)
  try {
    const { size } = await handle.stat()
    return await use(handle, size)
  } finally {
    await handle.close()
  }
}

/** Open without O_NONBLOCK waits forever on a pipe somebody left in a model folder. */
export async function openRegular(file: string): Promise<FileHandle> {
  let handle: FileHandle
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    throw new CheckpointError({ file, message: `cannot be read: ${ioReason(error)}` }, { cause: error })
  }
  const kind = await handle.stat()
  if (kind.isFile()) return handle
  await handle.close()
  throw new CheckpointError({
    file,
    found: kind.isDirectory() ? 'a folder' : 'a device, pipe or socket',
    expected: 'a file',
  })
}

/** Fills all of `target` from `position` on. @throws CheckpointError where the file ends early */
export async function readExactly(
  handle: FileHandle,
  target: Uint8Array,
  position: number,
  file: string,
): Promise<void> {
  let done = 0
  while (done < target.length) {
    const want = Math.min(target.length - done, CHUNK_BYTES)
    const { bytesRead } = await handle.read(target, done, want, position + done).catch((error: unknown) => {
      throw new CheckpointError({ file, message: `cannot be read: ${ioReason(error)}` }, { cause: error })
    })
    if (bytesRead === 0) {
      throw new CheckpointError({
        file,
        found: `the end of the file at byte ${position + done}`,
        expected: `${target.length} bytes from byte ${position} on`,
        hint: 'The file is truncated, or it changed while it was read.',
      })
    }
    done += bytesRead
  }
}

/** A small JSON file; its content is still unchecked. `budget` is asked before it is read. */
export async function readJson(
  file: string,
  maxBytes: number,
  budget?: { take(file: string, bytes: number): void },
): Promise<unknown> {
  const bytes = await withFile(file, async (handle, size) => {
    if (size > maxBytes) {
      throw new CheckpointError({
        file,
        found: `${size} bytes`,
        expected: `at most ${maxBytes} bytes of JSON`,
      })
    }
    budget?.take(file, size)
    const content = Buffer.alloc(size)
    await readExactly(handle, content, 0, file)
    return content
  })
  try {
    return JSON.parse(bytes.toString('utf8'))
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new CheckpointError({ file, message: `is not valid JSON: ${reason}` }, { cause: error })
  }
}

/** Names in a folder, sorted; empty where there is no such folder. */
export async function namesIn(folder: string): Promise<string[]> {
  return (await readdir(folder).catch(() => [])).sort()
}

export async function isFolder(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isDirectory() ?? false
}
