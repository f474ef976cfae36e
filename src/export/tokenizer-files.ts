import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { namesIn } from '../io/files.js'

/** Copies those of a tokenizer's files that `from` has, and nothing else. */
export async function copyTokenizer(from: string, to: string, files: readonly string[]): Promise<void> {
  const names = await namesIn(from)
  for (const name of files) if (names.includes(name)) await copyFile(join(from, name), join(to, name))
}
