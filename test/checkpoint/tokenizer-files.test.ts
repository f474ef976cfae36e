import { execFileSync } from 'node:child_process'
import { cp, mkdir, readdir, readFile, rename, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { openCheckpoint } from '../../src/checkpoint/open.js'
import { CheckpointError } from '../../src/errors.js'
import { exportCheckpoint } from '../../src/export/checkpoint.js'
import { Plan } from '../../src/plan/plan.js'
import { DATA, GOLDEN, rejection, temporaryFolder } from './helpers.js'

// What an export takes from beside the weights: files of the model's folder, and nothing else.

/** A model with a tokenizer, in a folder that may be changed, and where its export goes. */
async function model(): Promise<{ folder: string; outside: string; out: string }> {
  const outside = await temporaryFolder()
  const folder = join(outside, 'm')
  await cp(join(GOLDEN, 't5-tiny-v10'), folder, { recursive: true })
  await cp(join(DATA, 'tokenizers/t5/tokenizer.json'), join(folder, 'tokenizer.json'))
  await writeFile(join(outside, 'secret'), 'SECRET')
  return { folder, outside, out: join(outside, 'out') }
}
const run = async (folder: string, out: string): Promise<unknown> =>
  exportCheckpoint(await openCheckpoint(folder), Plan.dense(3), out)

async function expectRefused({ folder, outside, out }: Awaited<ReturnType<typeof model>>, text: string) {
  const before = await readdir(outside)
  const error = await rejection(run(folder, out))
  expect(error).toBeInstanceOf(CheckpointError)
  expect(error.message).toContain(text)
  expect(await readdir(outside)).toEqual(before)
}

it('a pipe is refused, and does not hang', async () => {
  const made = await model()
  execFileSync('mkfifo', [join(made.folder, 'special_tokens_map.json')])
  await expectRefused(made, 'special_tokens_map.json: found a device, pipe or socket, expected a file')
})

it.each([
  ['a file', '../secret'],
  ['a file by its whole path', '/etc/hostname'],
  ['a device', '/dev/zero'],
  ['a folder', '..'],
  ['nothing', 'none'],
])('a link to %s outside is refused', async (_, target) => {
  const made = await model()
  await symlink(target, join(made.folder, 'added_tokens.json'))
  await expectRefused(made, 'added_tokens.json: ')
})

it('a link through a folder that is a link is refused', async () => {
  const made = await model()
  await symlink('..', join(made.folder, 'up'))
  await symlink('up/secret', join(made.folder, 'added_tokens.json'))
  await expectRefused(made, 'added_tokens.json: found a link to')
})

it('a file without measure is refused', async () => {
  const made = await model()
  await writeFile(join(made.folder, 'added_tokens.json'), '')
  await truncate(join(made.folder, 'added_tokens.json'), 2 ** 40)
  await expectRefused(made, 'found 1099511627776 bytes, expected at most')
})

it('a link inside the folder is followed', async () => {
  const { folder, out } = await model()
  await mkdir(join(folder, 'files'))
  await rename(join(folder, 'tokenizer.json'), join(folder, 'files/t'))
  await symlink('files/t', join(folder, 'tokenizer.json'))
  await run(folder, out)
  expect(await readFile(join(out, 'tokenizer.json'))).toEqual(await readFile(join(folder, 'files/t')))
})

it("blobs of Hugging Face's cache are followed, and no blobs elsewhere", async () => {
  const made = await model()
  const cached = async (root: string): Promise<string> => {
    const snapshot = join(made.outside, root, 'snapshots/abc')
    await cp(made.folder, snapshot, { recursive: true })
    await mkdir(join(made.outside, root, 'blobs'))
    await rename(join(snapshot, 'tokenizer.json'), join(made.outside, root, 'blobs/t'))
    await symlink('../../blobs/t', join(snapshot, 'tokenizer.json'))
    return snapshot
  }
  await run(await cached('models--x--y'), made.out)
  expect((await readFile(join(made.out, 'tokenizer.json'))).length).toBeGreaterThan(1000)
  const error = await rejection(run(await cached('other'), join(made.outside, 'out2')))
  expect(error.message).toContain('tokenizer.json: found a link to')

  const linked = join(made.outside, 'models--x--z')
  await mkdir(linked)
  await symlink(join(made.outside, 'other/snapshots'), join(linked, 'snapshots'))
  await symlink(made.outside, join(linked, 'blobs'))
  const through = await rejection(run(join(linked, 'snapshots/abc'), join(made.outside, 'out3')))
  expect(through.message).toContain('tokenizer.json: found a link to')
})
