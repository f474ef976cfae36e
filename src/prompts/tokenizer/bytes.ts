import { finish } from '../../io/turns.js'
import { encodeInChunks } from './chunks.js'
import type { TokenizerConfig } from './config.js'
import type { Tokenizer } from './types.js'

/** ByT5's first ids: <pad>, </s>, <unk>. */
const SPECIALS = 3
const PAD = 0
const EOS = 1
const EXTRA_IDS = 125

/** ByT5's: each byte of UTF-8 is an id. It has no vocabulary; a tokenizer_config.json names it. */
export function openBytes(file: string, { maxLength, padSide }: TokenizerConfig): Tokenizer {
  const ids = (chunk: string): number[] => Array.from(Buffer.from(chunk, 'utf8'), (byte) => byte + SPECIALS)
  const encodeSteps: Tokenizer['encodeSteps'] = (text, maxTokens, bare) =>
    encodeInChunks(text, { ids, before: [], after: bare ? [] : [EOS], space: 'begins' }, maxTokens)
  return {
    encode: (text, maxTokens, bare) => finish(encodeSteps(text, maxTokens, bare)),
    encodeSteps,
    before: [],
    after: [EOS],
    padId: PAD,
    padSide,
    eosId: EOS,
    maxLength,
    vocab: SPECIALS + 256 + EXTRA_IDS,
    file,
  }
}
