import { realpath, writeFile } from 'node:fs/promises'
import { basename, dirname, join, relative, sep } from 'node:path'
import { CheckpointError } from '../errors.js'
import { namesIn, readExactly, withFile } from '../io/files.js'

/** Far above any tokenizer.json there is. */
const MAX_BYTES = 128 << 20

/**
 * Copies those of a tokenizer's files that `from` has, and nothing else. A file must lie in `from`: a model folder from the internet
 * may link to any file of its reader. Throws CheckpointError for links that lead elsewhere, pipes, files out of measure.
 */
export async function copyTokenizer(from: string, to: string, files: readonly string[]): Promise<void> {
  const names = await namesIn(from)
  for (const name of files.filter((each) => names.includes(each))) {
    const bytes = await readOwn(from, name)
    await writeFile(join(to, name), bytes, { flush: true })
  }
}

async function readOwn(folder: string, name: string): Promise<Uint8Array> {
  const file = join(folder, name)
  const real = await realpath(file).catch((error: unknown) => {
    throw new CheckpointError({ file, message: 'is a link to nothing' }, { cause: error })
  })
  if (!isOwn(await realpath(folder), real)) {
    throw new CheckpointError({
      file,
      found: `a link to ${real}`,
      expected: 'a file inside its folder',
      hint: 'Copy the file there: exports take nothing from elsewhere',
    })
  }
  return withFile(real, async (handle, size) => {
    if (size > MAX_BYTES) {
      throw new CheckpointError({ file, found: `${size} bytes`, expected: `at most ${MAX_BYTES}` })
    }
    const bytes = new Uint8Array(size)
    await readExactly(handle, bytes, 0, file)
    return bytes
  })
}

/** Both paths are real ones. Snapshots of Hugging Face's cache are links to the blobs of their model. */
function isOwn(folder: string, file: string): boolean {
  if (isInside(folder, file)) return true
  for (let at = folder; dirname(at) !== at; at = dirname(at)) {
    if (basename(dirname(at)) !== 'snapshots') continue
    const model = dirname(dirname(at))
    return basename(model).startsWith('models--') && isInside(join(model, 'blobs'), file)
  }
  return false
}

const isInside = (folder: string, file: string): boolean => {
  const path = relative(folder, file)
  return path !== '..' && !path.startsWith(`..${sep}`)
}
