import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, lstat, mkdir, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { checkWritable, writeFileAtomically, writeFolderAtomically } from '../../src/io/atomic.js'
import { temporaryFolder } from '../checkpoint/helpers.js'

const mode = async (path: string): Promise<string> => ((await stat(path)).mode & 0o777).toString(8)
const bytes = (handle: { writeFile(text: string): Promise<void> }): Promise<void> => handle.writeFile('new')

describe('permissions', () => {
  it.each([0o600, 0o640, 0o444, 0o666])('of a replaced file (%o) stay, also meanwhile', async (bits) => {
    const folder = await temporaryFolder()
    const file = join(folder, 'out')
    await writeFile(file, 'old')
    await chmod(file, bits)
    let during: string[] = []
    await writeFileAtomically(file, async (handle) => {
      await bytes(handle)
      const names = (await readdir(folder)).filter((name) => name !== 'out')
      during = await Promise.all(names.map((name) => mode(join(folder, name))))
    })
    expect(during).toEqual([bits.toString(8)])
    expect(await mode(file)).toBe(bits.toString(8))
    expect(await readFile(file, 'utf8')).toBe('new')
  })

  it('of a replaced empty folder stay, also meanwhile', async () => {
    const folder = await temporaryFolder()
    const out = join(folder, 'out')
    await mkdir(out)
    await chmod(out, 0o700)
    let during = ''
    await writeFolderAtomically(out, async (temporary) => {
      during = await mode(temporary)
      await writeFile(join(temporary, 'a'), '')
    })
    expect([during, await mode(out)]).toEqual(['700', '700'])
  })

  it('of new ones are those of the umask', async () => {
    const folder = await temporaryFolder()
    const script = `process.umask(0o027)
      await io.writeFileAtomically(${JSON.stringify(join(folder, 'file'))}, (handle) => handle.writeFile(''))
      await io.writeFolderAtomically(${JSON.stringify(join(folder, 'folder'))}, async () => {})`
    await once(child(script), 'close')
    expect([await mode(join(folder, 'file')), await mode(join(folder, 'folder'))]).toEqual(['640', '750'])
  })
})

describe('a symbolic link', () => {
  const isLink = async (path: string): Promise<boolean> => (await lstat(path)).isSymbolicLink()

  it.each([
    ['to a file', true],
    ['to nothing yet', false],
  ])('%s stays a link; what it leads to is written', async (_, there) => {
    const [folder, other] = [await temporaryFolder(), await temporaryFolder()]
    const file = join(other, 'file')
    if (there) {
      await writeFile(file, 'old')
      await chmod(file, 0o640)
    }
    await symlink('second', join(folder, 'first')) // one link after the other, from the folder that each is in
    await symlink(file, join(folder, 'second'))
    await checkWritable(join(folder, 'first'))
    await writeFileAtomically(join(folder, 'first'), bytes)
    expect(await readFile(file, 'utf8')).toBe('new')
    if (there) expect(await mode(file)).toBe('640')
    expect([await isLink(join(folder, 'first')), await isLink(join(folder, 'second'))]).toEqual([true, true])
    expect([await readdir(folder), await readdir(other)]).toEqual([['first', 'second'], ['file']])
  })

  it.each([true, false])('to a folder (there: %s) stays a link; the folder is written', async (there) => {
    const [folder, other] = [await temporaryFolder(), join(await temporaryFolder(), 'out')]
    if (there) await mkdir(other)
    await symlink(other, join(folder, 'link'))
    await writeFolderAtomically(join(folder, 'link'), (temporary) => writeFile(join(temporary, 'a'), ''))
    expect([await readdir(folder), await readdir(other)]).toEqual([['link'], ['a']])
    expect(await isLink(join(folder, 'link'))).toBe(true)
  })

  it('in a folder that is itself a link starts from where that folder is', async () => {
    const [outer, inner] = [await temporaryFolder(), join(await temporaryFolder(), 'inner')]
    await mkdir(inner)
    await symlink(inner, join(outer, 'folder'))
    await symlink('../file', join(inner, 'link'))
    await writeFileAtomically(join(outer, 'folder/link'), bytes)
    expect(await readFile(join(inner, '../file'), 'utf8')).toBe('new')
    expect(await readdir(outer)).toEqual(['folder'])
  })

  it('that leads to itself is refused', async () => {
    const folder = await temporaryFolder()
    await symlink('loop', join(folder, 'loop'))
    const file = join(folder, 'loop')
    await expect(checkWritable(file)).rejects.toThrow(`${file}: found a link that leads to itself`)
    await expect(writeFileAtomically(file, bytes)).rejects.toThrow('a link that leads to itself')
    expect(await readdir(folder)).toEqual(['loop'])
  })
})

/** A process that has src/io/atomic.ts, built, as `io`. */
function child(script: string): ReturnType<typeof spawn> {
  const built = pathToFileURL(join(import.meta.dirname, '../../dist/io/atomic.js')).href
  const code = `const io = await import(${JSON.stringify(built)})\n${script}`
  return spawn(process.execPath, ['--input-type=module', '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
}

/** Writes begun in a process that ends in the middle of them: one of a file, one of a folder. */
function begun(folder: string, end: string): ReturnType<typeof spawn> {
  return child(`
    import { writeFileSync } from 'node:fs'
    const wait = new Promise((resolve) => setTimeout(resolve, 60_000))
    let begun = 0
    const next = async () => {
      if (++begun === 2) { console.log('begun'); ${end} }
      await wait
    }
    void io.writeFileAtomically(${JSON.stringify(join(folder, 'file'))}, next)
    void io.writeFolderAtomically(${JSON.stringify(join(folder, 'folder'))}, async (temporary) => {
      writeFileSync(temporary + '/part', '')
      await next()
    })`)
}

describe('what is in the making', () => {
  it('goes by process.exit()', async () => {
    const folder = await temporaryFolder()
    await once(begun(folder, 'process.exit(0)'), 'close')
    expect(await readdir(folder)).toEqual([])
  })

  it('of a killed process goes when the same output is written next, and no other file', async () => {
    const folder = await temporaryFolder()
    const killed = begun(folder, '')
    await once(killed.stdout!, 'data')
    killed.kill('SIGKILL')
    await once(killed, 'close')
    expect(await readdir(folder)).toHaveLength(2)
    const others = ['.file.1-00000000-00000000.tmp', '.file.notes.tmp', '.other.2-x.tmp']
    for (const other of others) await writeFile(join(folder, other), '')
    await writeFileAtomically(join(folder, 'file'), bytes)
    await writeFolderAtomically(join(folder, 'folder'), () => Promise.resolve())
    expect((await readdir(folder)).sort()).toEqual([...others, 'file', 'folder'].sort())
  })

  it('of a process that runs stays', async () => {
    const folder = await temporaryFolder()
    const running = begun(folder, '')
    await once(running.stdout!, 'data')
    await writeFileAtomically(join(folder, 'file'), bytes)
    expect(await readdir(folder)).toHaveLength(3)
    running.kill('SIGKILL')
    await once(running, 'close')
  })
})

describe('an output', () => {
  it('is never put in the place of a pipe or a device', async () => {
    const pipe = join(await temporaryFolder(), 'pipe')
    execFileSync('mkfifo', [pipe])
    for (const write of [checkWritable(pipe), writeFileAtomically(pipe, bytes)]) {
      await expect(write).rejects.toMatchObject({
        code: 'ERR_OUTPUT',
        message: `${pipe}: found a device, pipe or socket, expected a file, there or new`,
      })
    }
    expect((await stat(pipe)).isFIFO()).toBe(true)
  })
})
