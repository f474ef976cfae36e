import { createHash } from 'node:crypto'
import { rm, type FileHandle } from 'node:fs/promises'
import { InputError, OutputError } from '../../errors.js'
import { ioReason } from '../../io/files.js'
import { shellWord, show } from '../../io/show.js'
import { openLocked } from './journal-file.js'
import { memoryMemo, type Memo } from './memo.js'

/**
 * What a search has measured, on disk as it goes: a search is deterministic given its measurements, so whoever has them all can
 * replay it. JSON lines, only ever appended:
 *
 *     {"format":"skrr-journal","version":3,"model":"...","calibration":"...","options":"..."}
 *     ["9c56cc51b374c3ba","D: 0:f32 1:f32 3:int8@0.5"]   a measure and a program (program.ts), by the first digits of its SHA-256
 *     ["9c56cc51b374c3ba",12,0.8431]                     this program, chunk 12: the error's sum
 *
 * A name is made of its program alone, so that lines mean the same whoever wrote them and between whichever others they stand. The
 * programs of version 1 named no precision, and those of version 2 went by their number.
 * A process killed in mid-write leaves half a line at the end, which is cut off when the search goes on.
 */

/** What the measurements depend on; a journal of other ones is refused. */
export interface JournalSubject {
  readonly model: string
  readonly calibration: string
  readonly options: string
}

const FORMAT = { format: 'skrr-journal', version: 3 }
const FLUSH_BYTES = 1 << 16
const FLUSH_MS = 1000

export class Journal {
  readonly #memo: Memo
  /** By program. */
  readonly #names = new Map<string, string>()
  #pending = ''
  #flushed = Date.now()
  #finished = false

  private constructor(
    private readonly file: string,
    private readonly handle: FileHandle,
    private readonly chunks: number,
  ) {
    this.#memo = memoryMemo(chunks)
  }

  /**
   * A new journal, or with `resume` the one that is there (a new one where none is), locked until it is closed.
   * @throws InputError where one is there and must not be touched, belongs to another search or is in use; OutputError
   */
  static async open(
    file: string,
    subject: JournalSubject,
    chunks: number,
    resume: boolean,
  ): Promise<Journal> {
    const handle = await openLocked(file)
    try {
      const journal = new Journal(file, handle, chunks)
      const header = `${JSON.stringify({ ...FORMAT, ...subject })}\n`
      const text = await readText(file, handle)
      if (header.startsWith(text)) {
        await handle.truncate(0) // new, or killed before anything was measured
        await journal.#append(header)
      } else {
        checkSubject(file, text, subject, resume)
        if (!resume) throw unfinished(file)
        await handle.truncate(journal.#replay(text))
      }
      return journal
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** Measurements of one evaluator; those of another, that measures otherwise, go under another name. */
  memo(name: string): Memo {
    const keyed = (program: string): string => `${name}: ${program}`
    return {
      errors: (program) => this.#memo.errors(keyed(program)),
      note: (program, chunk, error) => this.#note(keyed(program), chunk, error),
    }
  }

  async #note(program: string, chunk: number, error: number): Promise<void> {
    let name = this.#names.get(program)
    if (name === undefined) {
      name = nameOf(program)
      this.#names.set(program, name)
      this.#pending += `${JSON.stringify([name, program])}\n`
    }
    this.#pending += `${JSON.stringify([name, chunk, error])}\n`
    if (this.#pending.length >= FLUSH_BYTES || Date.now() - this.#flushed >= FLUSH_MS) await this.#flush()
  }

  /** The search came to its end and its plan is written: the journal is of no more use. */
  async remove(): Promise<void> {
    this.#finished = true
    await rm(this.file, { force: true }) // while it is locked: another search must not begin to write it
    await this.close()
  }

  /** What is measured stays for a later `resume`. */
  async close(): Promise<void> {
    try {
      if (!this.#finished) await this.#flush()
    } finally {
      await this.handle.close()
    }
  }

  async #flush(): Promise<void> {
    const text = this.#pending
    this.#pending = ''
    this.#flushed = Date.now()
    if (text !== '') await this.#append(text)
  }

  async #append(text: string): Promise<void> {
    try {
      await this.handle.appendFile(text)
    } catch (cause) {
      throw new OutputError(
        {
          file: this.file,
          message: `the journal cannot be written: ${ioReason(cause)}`,
          hint: 'What is in it stays valid: make room and go on with `resume` (CLI: --resume)',
        },
        { cause },
      )
    }
  }

  /** Takes over the lines of a journal up to the first that is not whole. Returns the bytes up to there. */
  #replay(text: string): number {
    const programs = new Map<string, string>()
    const lines = text.split('\n')
    lines.pop() // what follows the last newline: nothing, or half a line
    let bytes = 0
    for (const [number, line] of lines.entries()) {
      if (number > 0 && !this.#take(parse(line), programs)) break
      bytes += Buffer.byteLength(line) + 1
    }
    for (const [name, program] of programs) this.#names.set(program, name)
    return bytes
  }

  /** False for what no search writes. */
  #take(line: unknown, programs: Map<string, string>): boolean {
    if (!Array.isArray(line)) return false
    const [name, second, error] = line as unknown[]
    if (line.length === 2 && typeof second === 'string' && name === nameOf(second)) {
      programs.set(name, second)
      return true
    }
    const program = typeof name === 'string' ? programs.get(name) : undefined
    if (line.length !== 3 || program === undefined) return false
    const known = Number.isInteger(second) && Number(second) >= 0 && Number(second) < this.chunks
    if (!known || typeof error !== 'number' || error < 0) return false
    this.#memo.errors(program)[Number(second)] = error
    return true
  }
}

/** 64 bits: no search makes programs enough for two of them to share a name. */
const nameOf = (program: string): string => createHash('sha256').update(program).digest('hex').slice(0, 16)

async function readText(file: string, handle: FileHandle): Promise<string> {
  try {
    return await handle.readFile('utf8')
  } catch (cause) {
    throw new InputError({ file, message: `the journal cannot be read: ${ioReason(cause)}` }, { cause })
  }
}

const unfinished = (file: string): InputError =>
  new InputError({
    file,
    found: 'the journal of a search that did not end',
    expected: 'none',
    hint: 'Go on with it by `resume` (CLI: --resume), or delete it',
  })

function checkSubject(file: string, text: string, subject: JournalSubject, resume: boolean): void {
  const header = parse(text.slice(0, Math.max(0, text.indexOf('\n')))) as Record<string, unknown> | undefined
  if (header?.['format'] !== FORMAT.format) {
    throw new InputError({
      file,
      found: 'no journal of a search',
      expected: 'one',
      hint: 'Delete it to start anew',
    })
  }
  if (header['version'] !== FORMAT.version) {
    throw new InputError({
      file,
      field: 'version',
      found: show(header['version']),
      expected: `${FORMAT.version}: another version of skrr wrote it`,
      hint: `Start anew${resume ? ', without `resume` (CLI: --resume)' : ''}: rm ${shellWord(file)}`,
    })
  }
  for (const [name, expected] of Object.entries(subject)) {
    const found = header[name]
    if (found === expected) continue
    throw new InputError({
      file,
      field: name,
      found: typeof found === 'string' ? found : 'nothing',
      expected: String(expected),
      hint: `The journal belongs to a search with another ${NOUNS[name as keyof JournalSubject]}. Delete it, or search with what it was made for`,
    })
  }
}

const NOUNS = { model: 'model', calibration: 'calibration set', options: 'set of options' }

function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
