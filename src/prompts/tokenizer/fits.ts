import type { Checkpoint } from '../../checkpoint/types.js'
import { familyOf } from '../../families/index.js'
import { TokenizerError } from '../../errors.js'
import type { TokenizerThread } from './thread.js'

/**
 * The tokenizer of an encoder, asked for when prompts come: ids are none of its business. One of another model gives ids that do
 * not exist here, or that do and mean nothing. @throws TokenizerError
 */
export function tokenizerFor(
  checkpoint: Checkpoint,
  tokenizer: TokenizerThread | undefined,
): TokenizerThread {
  if (tokenizer === undefined) {
    throw new TokenizerError({
      file: checkpoint.path,
      found: 'no tokenizer.json, spiece.model or tokenizer.model beside the weights',
      expected: 'one, to encode prompts',
      hint: 'Give its path as `tokenizer` (CLI: --tokenizer), or pass inputIds',
    })
  }
  checkVocabulary(tokenizer, checkpoint)
  checkAround(tokenizer, checkpoint)
  checkEnd(tokenizer, checkpoint)
  return tokenizer
}

function checkVocabulary({ file, vocab }: TokenizerThread, { path, architecture }: Checkpoint): void {
  if (architecture.input.vocab === 0 || vocab <= architecture.input.vocab) return
  throw new TokenizerError({
    file,
    found: `${vocab} ids`,
    expected: `at most ${architecture.input.vocab}, the rows of the token embedding of ${path}`,
    hint: 'It belongs to another model',
  })
}

function checkAround({ file, before, after }: TokenizerThread, { path, architecture }: Checkpoint): void {
  const { around } = familyOf(architecture)
  if (around === undefined || (around[0] === before.length && around[1] === after.length)) return
  throw new TokenizerError({
    file,
    found: `one that puts ${before.length} ids before a prompt and ${after.length} after it`,
    expected: `${around[0]} and ${around[1]}, as for all models of the kind of ${path}`,
    hint: 'It belongs to another model',
  })
}

/** Embeddings have more rows than their tokenizers have ids, so that one of another model often fits: their ends differ. */
function checkEnd({ file, eosId }: TokenizerThread, checkpoint: Checkpoint): void {
  if (checkpoint.eosId === undefined || checkpoint.eosId === eosId) return
  throw new TokenizerError({
    file,
    field: '</s>',
    found: `id ${eosId}`,
    expected: `id ${checkpoint.eosId}, the eos_token_id in the config.json of ${checkpoint.path}`,
    hint: 'It belongs to another model',
  })
}
