import { readdir, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { openCheckpoint } from '../checkpoint/open.js'
import { storedTensors } from '../checkpoint/types.js'
import { InputError, OutputError } from '../errors.js'
import { checkWritable, placeOf, writeFileAtomically } from '../io/atomic.js'
import { ioReason } from '../io/files.js'

/** An output of this name is stdout, an input stdin. */
export const STANDARD = '-'

/** Options and the files that they name, where they are given. */
type Named = Readonly<Record<string, string | undefined>>
type Given = readonly [option: string, file: string]

export interface OutputOptions {
  model: string
  textEncoder?: string
  tokenizer?: string
  plan?: string
  json?: true
}

/**
 * Before work whose result could not be kept: every output can be written, no two are one file, and none is a file that the command
 * reads. @throws InputError that names the options; OutputError
 */
export async function checkOutputs(options: OutputOptions, outputs: Named, inputs: Named): Promise<void> {
  const files = given(outputs)
  for (const [option, file] of files) {
    if (file !== STANDARD) await checkWritable(file)
    else if (options.json) {
      throw new InputError({
        field: option,
        found: '- together with --json',
        expected: 'one that prints to stdout',
      })
    }
  }
  const places = new Map<string, Given>()
  for (const output of files) {
    const place = await identityOf(output[1])
    const other = places.get(place)
    if (other) throw clash(output, `what ${other[0]} writes`)
    places.set(place, output)
  }
  if (!(await Promise.all(files.map(([, file]) => isThere(file)))).includes(true)) return // none replaces anything
  for (const [option, file] of await inputFiles(options, inputs)) {
    const path = file === STANDARD ? '/dev/stdin' : file
    const output = (await isThere(path)) && places.get(await identityOf(path)) // a preset's name is no file
    if (output) throw clash(output, `what ${option} reads`)
  }
}

const given = (named: Named): Given[] =>
  Object.entries(named).filter((each): each is [string, string] => each[1] !== undefined)

const clash = ([field, file]: Given, what: string): InputError =>
  new InputError({ file, field, found: what, expected: 'another file' })

const isThere = async (file: string): Promise<boolean> =>
  (await stat(file).catch(() => undefined)) !== undefined

/** The same for two names of one file: its inode, or where it would be made. */
async function identityOf(file: string): Promise<string> {
  if (file === STANDARD) return file
  const found = await stat(file).catch(() => undefined)
  return found ? `${found.dev}:${found.ino}` : await placeOf(file)
}

/** Files of a model beside its weights that are read where they are there. */
const BESIDE =
  /^(config|model_index|adapter_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens)\.json$|\.index(\.\w+)?\.json$|\.model$/

/** Everything the command reads. */
async function inputFiles(options: OutputOptions, inputs: Named): Promise<Given[]> {
  const { model, textEncoder, tokenizer, plan } = options
  const checkpoint = await openCheckpoint(model, { textEncoder })
  const { packed, tokenizerPath, planPath } = checkpoint
  const weights = [
    ...storedTensors(checkpoint).map(({ ref }) => ref.file),
    ...[...packed.values()].flatMap(({ tensors }) => Object.values(tensors).map(({ file }) => file)),
  ]
  const read = [...new Set(weights), tokenizerPath, planPath].filter((file) => file !== undefined)
  const folders = new Set([model, ...read.map((file) => dirname(file)), ...(tokenizer ? [tokenizer] : [])])
  const beside = await Promise.all([...folders].map((folder) => filesBeside(folder)))
  return [
    ...[...read, ...beside.flat()].map((file): Given => ['--model', file]),
    ...given({ ...inputs, '--tokenizer': tokenizer, '--plan': plan }),
  ]
}

async function filesBeside(folder: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []) // a file, or none
  return names.filter((name) => BESIDE.test(name)).map((name) => join(folder, name))
}

/** @throws InputError: numbers on a terminal are of use to nobody */
export function refuseTerminal(option: string, file: string): void {
  if (file !== STANDARD || !process.stdout.isTTY) return
  throw new InputError({ field: option, found: 'a terminal', expected: 'a file, or a pipe for -' })
}

/** Where a command says what it did: not between what goes to stdout. */
export const messagesTo = (...files: readonly (string | undefined)[]): NodeJS.WriteStream =>
  files.includes(STANDARD) ? process.stderr : process.stdout

/** A text as a file, whole or not at all, or on stdout. @throws OutputError */
export async function writeText(file: string, text: string): Promise<void> {
  if (file === STANDARD) await writeToStdout([text])
  else await writeFileAtomically(file, (handle) => handle.writeFile(text))
}

/** @throws OutputError; the signal's reason */
export async function writeToStdout(
  chunks: Iterable<string> | AsyncIterable<Uint8Array>,
  signal?: AbortSignal,
): Promise<void> {
  try {
    await pipeline(Readable.from(chunks, { objectMode: true }), process.stdout, {
      end: false,
      ...(signal && { signal }),
    })
  } catch (cause) {
    signal?.throwIfAborted()
    throw new OutputError({ file: 'stdout', message: `cannot be written: ${ioReason(cause)}` }, { cause })
  }
}
