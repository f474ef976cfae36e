import { open, readFile, rm, stat, type FileHandle } from 'node:fs/promises'
import { ioReason } from '../../io/files.js'
import { InputError, OutputError } from '../../errors.js'
import { show } from '../../io/show.js'
import { memoryMemo, type Memo } from './memo.js'

/**
 * What a search has measured, on disk as it goes: a search is deterministic given its measurements, so whoever has them all can
 * replay it. JSON lines, only ever appended:
 *
 *     {"format":"skrr-journal","version":2,"model":"...","calibration":"...","options":"..."}
 *     "D: 0:f32 1:f32 3:int8@0.5"   a measure and a program (program.ts); its number is how many came before
 *     [0,12,0.8431]                 program 0, chunk 12: the error's sum
 *
 * The programs of version 1 named no precision, so what they measured is not known.
 * A process killed in mid-write leaves half a line at the end, which is cut off when the search goes on.
 */

/** What the measurements depend on; a journal of other ones is refused. */
export interface JournalSubject {
  readonly model: string
  readonly calibration: string
  readonly options: string
}

const FORMAT = { format: 'skrr-journal', version: 2 }
const FLUSH_BYTES = 1 << 16
const FLUSH_MS = 1000

export class Journal {
  readonly #memo: Memo
  readonly #ids = new Map<string, number>()
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
   * A new journal, or with `resume` the one that is there (a new one where none is).
   * @throws InputError where one is there and must not be touched, or belongs to another search; OutputError
   */
  static async open(
    file: string,
    subject: JournalSubject,
    chunks: number,
    resume: boolean,
  ): Promise<Journal> {
    const text = resume ? await readExisting(file) : undefined
    const handle = await openFor(file, resume)
    const journal = new Journal(file, handle, chunks)
    try {
      const header = `${JSON.stringify({ ...FORMAT, ...subject })}\n`
      if (text === undefined || header.startsWith(text)) {
        await handle.truncate(0) // killed while it wrote the header
        await journal.#append(header)
      } else {
        checkSubject(file, text, subject)
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
    let id = this.#ids.get(program)
    if (id === undefined) {
      id = this.#ids.size
      this.#ids.set(program, id)
      this.#pending += `${JSON.stringify(program)}\n`
    }
    this.#pending += `[${id},${chunk},${error}]\n`
    if (this.#pending.length >= FLUSH_BYTES || Date.now() - this.#flushed >= FLUSH_MS) await this.#flush()
  }

  /** The search came to its end and its plan is written: the journal is of no more use. */
  async remove(): Promise<void> {
    this.#finished = true
    await this.close()
    await rm(this.file, { force: true })
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
    const programs: string[] = []
    const lines = text.split('\n')
    lines.pop() // what follows the last newline: nothing, or half a line
    let bytes = 0
    for (const [number, line] of lines.entries()) {
      if (number > 0) {
        const entry = parse(line)
        if (typeof entry === 'string') {
          this.#ids.set(entry, programs.length)
          programs.push(entry)
        } else if (this.#isMeasurement(entry, programs.length)) {
          const [id, chunk, error] = entry
          this.#memo.errors(programs[id]!)[chunk] = error
        } else break
      }
      bytes += Buffer.byteLength(line) + 1
    }
    return bytes
  }

  #isMeasurement(entry: unknown, programs: number): entry is [number, number, number] {
    if (!Array.isArray(entry) || entry.length !== 3) return false
    const [id, chunk, error] = entry as unknown[]
    const below = (n: unknown, limit: number): boolean =>
      Number.isInteger(n) && Number(n) >= 0 && Number(n) < limit
    return below(id, programs) && below(chunk, this.chunks) && typeof error === 'number' && error >= 0
  }
}

async function readExisting(file: string): Promise<string | undefined> {
  try {
    const found = await stat(file)
    if (!found.isFile()) throw new InputError({ file, found: 'no regular file', expected: 'a journal' })
    return await readFile(file, 'utf8')
  } catch (cause) {
    if (cause instanceof InputError) throw cause
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new InputError({ file, message: `the journal cannot be read: ${ioReason(cause)}` }, { cause })
  }
}

async function openFor(file: string, resume: boolean): Promise<FileHandle> {
  try {
    return await open(file, resume ? 'a' : 'ax')
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'EEXIST') {
      throw new InputError(
        {
          file,
          found: 'the journal of a search that did not end',
          expected: 'none',
          hint: 'Go on with it by `resume` (CLI: --resume), or delete it',
        },
        { cause },
      )
    }
    throw new OutputError({ file, message: `the journal cannot be written: ${ioReason(cause)}` }, { cause })
  }
}

function checkSubject(file: string, text: string, subject: JournalSubject): void {
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
      hint: 'Delete it, and run the same command without `resume` (CLI: --resume)',
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
