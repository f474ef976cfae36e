import { join } from 'node:path'
import { CheckpointError } from '../errors.js'
import { namesIn, readExactly, withFile } from '../io/files.js'

/**
 * Hugging Face's cache keeps a model as models--OWNER--NAME/ with refs/main (a revision), snapshots/REVISION/ (the folder, of
 * links) and blobs/ (the files). Whoever points at the model means the snapshot.
 */

const REF_BYTES = 256

/** The snapshot in a model's folder of the cache; undefined for every other folder. `names` is what lies in it. */
export async function snapshotIn(folder: string, names: readonly string[]): Promise<string | undefined> {
  if (!names.includes('snapshots') || names.includes('config.json') || names.includes('model_index.json')) {
    return undefined
  }
  const snapshots = await namesIn(join(folder, 'snapshots'))
  const wanted = (await namesIn(join(folder, 'refs'))).includes('main')
    ? await revision(join(folder, 'refs/main'))
    : undefined
  const chosen = wanted ?? (snapshots.length === 1 ? snapshots[0] : undefined)
  // a name out of a listing cannot lead out of the folder
  if (chosen !== undefined && snapshots.includes(chosen)) return join(folder, 'snapshots', chosen)
  throw new CheckpointError({
    file: folder,
    field: 'refs/main',
    found: wanted === undefined ? 'nothing' : JSON.stringify(wanted),
    expected:
      snapshots.length === 0 ? 'a snapshot' : `one of the snapshots ${snapshots.slice(0, 5).join(', ')}`,
    hint: snapshots.length === 0 ? 'The download is incomplete.' : 'Name the folder of a snapshot.',
  })
}

const revision = (file: string): Promise<string> =>
  withFile(file, async (handle, size) => {
    const bytes = new Uint8Array(Math.min(size, REF_BYTES))
    await readExactly(handle, bytes, 0, file)
    return new TextDecoder().decode(bytes).trim()
  })

/** For messages: what to do in a folder that holds models of the cache. */
export function cacheHint(names: readonly string[]): string | undefined {
  const models = names.filter((name) => name.startsWith('models--'))
  return models.length === 0
    ? undefined
    : `This is Hugging Face's cache; name a model in it: ${models.slice(0, 5).join(', ')}`
}
