import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { namesIn } from '../io/files.js'

const FILES = [
  'tokenizer.json',
  'spiece.model',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
]

/** Copies what a T5 tokenizer consists of, as far as `from` has it; nothing else that may lie there. */
export async function copyTokenizer(from: string, to: string): Promise<void> {
  const names = await namesIn(from)
  for (const name of FILES) if (names.includes(name)) await copyFile(join(from, name), join(to, name))
}
