import { open, stat, type FileHandle } from 'node:fs/promises'
import { InputError, OutputError } from '../../errors.js'
import { ioReason } from '../../io/files.js'
import { native } from '../../native/addon.js'

/**
 * Opens a journal for its one search, which is made where none is: two that append to one would each replay the other's lines. The
 * lock lasts until the file is closed, and a killed process leaves none.
 * @throws InputError for what is no regular file or is locked by another search, OutputError
 */
export async function openLocked(file: string): Promise<FileHandle> {
  for (;;) {
    await checkRegular(file)
    const handle = await open(file, 'a+').catch((cause: unknown) => {
      throw new OutputError({ file, message: `the journal cannot be written: ${ioReason(cause)}` }, { cause })
    })
    try {
      await lock(file, handle)
      if (await isStill(file, handle)) return handle
    } catch (error) {
      await handle.close()
      throw error
    }
    await handle.close() // the search that had it came to its end, and deleted it
  }
}

async function checkRegular(file: string): Promise<void> {
  const found = await stat(file).catch(() => undefined) // what is wrong with the path, open() says
  if (found?.isFile() ?? true) return
  throw new InputError({ file, found: 'no regular file', expected: 'a journal' })
}

async function lock(file: string, { fd }: FileHandle): Promise<void> {
  const locked = await native()
    .lockFile(fd)
    .catch((cause: unknown) => {
      throw new OutputError(
        {
          file,
          message: `the journal cannot be locked: ${ioReason(cause)}`,
          hint: 'Its file system has no locks (flock): put it on another one, such as a local disk',
        },
        { cause },
      )
    })
  if (locked) return
  throw new InputError({
    file,
    message: 'another search is writing this journal',
    hint: 'Wait for its end, or name another file',
  })
}

async function isStill(file: string, handle: FileHandle): Promise<boolean> {
  const [ours, there] = await Promise.all([handle.stat(), stat(file).catch(() => undefined)])
  return ours.ino === there?.ino && ours.dev === there.dev
}
