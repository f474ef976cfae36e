import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toUSVString } from 'node:util'
import { Tokenizer as HuggingFace } from '@huggingface/tokenizers'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { TokenizerError } from '../../../src/errors.js'
import { finish } from '../../../src/io/turns.js'
import { CHUNK, encodeInChunks } from '../../../src/prompts/tokenizer/chunks.js'
import { openTokenizer, tokenizeAll, type Tokenizer } from '../../../src/prompts/tokenizer/index.js'

const folder = 'test/data/tokenizers/t5'
const golden = (
  JSON.parse(readFileSync('test/golden/tokenizers.json', 'utf8')) as { t5: { text: string; ids: number[] }[] }
).t5
const processListeners = () =>
  (['uncaughtException', 'unhandledRejection'] as const).map((event) => process.listeners(event as 'exit'))

let google: Tokenizer
let huggingFace: Tokenizer
beforeAll(async () => {
  google = await openTokenizer(join(folder, 'spiece.model'))
  huggingFace = await openTokenizer(join(folder, 'tokenizer.json'))
})
const both = () => [google, huggingFace]
const differing = (tokenizer: Tokenizer) =>
  golden
    .filter(({ text, ids }) => String([...tokenizer.encode(text)]) !== String(ids))
    .map(({ text }) => text)

describe('token ids', () => {
  it("are Google's from spiece.model, on every golden prompt", () => {
    expect(golden.length).toBe(325)
    expect(differing(google)).toEqual([])
  })

  it("are Hugging Face's from tokenizer.json: they differ from Google's on these and no others", () => {
    expect(differing(huggingFace)).toEqual([
      'combining a\u0301\u0302\u0323',
      'the <extra_id_0> token </s> <pad> <unk> here',
      ' </s>',
      'x</s>y',
    ])
    // the names of special tokens are those tokens
    expect([...huggingFace.encode('x</s>y')]).toEqual([3, 226, 1, 3, 63, 1])
    expect([...huggingFace.encode('<extra_id_0>')]).toEqual([32099, 1])
  })

  it('end with eos, also where there is nothing else', () => {
    for (const tokenizer of both()) {
      expect([...tokenizer.encode('')]).toEqual([1])
      expect([...tokenizer.encode(' \n ')]).toEqual([1])
      expect([tokenizer.padId, tokenizer.eosId]).toEqual([0, 1])
    }
    expect(google.vocab).toBe(32_000)
    expect(huggingFace.vocab).toBe(32_100)
  })

  it('take half a surrogate pair for U+FFFD', () => {
    for (const tokenizer of both()) {
      for (const lone of ['\ud83d', '\ude00', 'a\ud83d cat', '\ude00\ud83d']) {
        const replaced = lone.replace(/[\ud83d\ude00]/g, '\ufffd')
        expect(tokenizer.encode(lone)).toEqual(tokenizer.encode(replaced))
      }
    }
  })

  it('are in the vocabulary for any text', () => {
    const any = fc.string({
      unit: fc.oneof(fc.constantFrom(' ', '\0', '\ud800', '</s>', '\u0301'), fc.string({ unit: 'binary' })),
    })
    fc.assert(
      fc.property(any, (text) => {
        for (const tokenizer of both()) {
          const ids = tokenizer.encode(text)
          expect(ids.at(-1)).toBe(tokenizer.eosId)
          expect(ids.every((id) => id >= 0 && id < tokenizer.vocab)).toBe(true)
        }
      }),
      { numRuns: 500 },
    )
  })
})

describe('long texts', () => {
  const dense = readFileSync('test/data/prompts/dpg.txt', 'utf8')

  it('cut at spaces have the ids of the whole', async () => {
    const json = JSON.parse(await readFile(join(folder, 'tokenizer.json'), 'utf8')) as object
    const engine = new HuggingFace(json, {})
    const word = fc.constantFrom(
      'cat',
      'a',
      '!!!!!!!',
      '猫',
      'é',
      'e\u0301',
      '\u0301',
      '</s>',
      '<extra_id_7>',
      'unquestionably',
      '👩‍👩‍👧',
      '\t',
    )
    const gap = fc.constantFrom(' ', ' ', ' ', '  ', '\n', '', ' \n ')
    const texts = fc
      .array(fc.tuple(word, gap), { minLength: 1500, maxLength: 2500, size: 'max' })
      .map((pairs) => pairs.flat().join(''))
    fc.assert(
      fc.property(texts, (text) => {
        fc.pre(text.length > CHUNK)
        expect([...huggingFace.encode(text)]).toEqual(engine.encode(text).ids)
      }),
      { numRuns: 60 },
    )
    const part = dense.slice(0, 60_000)
    expect([...huggingFace.encode(part)]).toEqual(engine.encode(part).ids)
  })

  it('are tokenised only as far as a caller needs, with the same first ids', () => {
    for (const tokenizer of both()) {
      const whole = tokenizer.encode(dense)
      const some = tokenizer.encode(dense, 512)
      expect(whole.length).toBeGreaterThan(90_000)
      expect(some.length).toBeGreaterThan(512)
      expect(some.length).toBeLessThan(4000)
      expect(some.subarray(0, 511)).toEqual(whole.subarray(0, 511))
    }
  })

  it.each([
    ['words', 'lorem ipsum ', 20],
    ['one word', 'a', 20],
    ['punctuation', '!', 20],
    ['special tokens', '</s>', 20],
    ['spaces', ' ', 20],
    // a run of unknown characters is one token: of these the whole text must be read, and the engine is slowest
    ['a script without spaces', '猫', 17],
    ['surrogate pairs', '😀', 17],
    ['combining marks', '\u0301', 17],
  ])(
    'of any kind are tokenised, also where the engine alone would overflow or take minutes: %s',
    async (_, unit, log2) => {
      const text = unit.repeat(2 ** log2 / unit.length)
      for (const tokenizer of both()) {
        const { ids, truncated } = await tokenizeAll(tokenizer, [text], 512)
        expect(ids[0]!.at(-1)).toBe(1)
        expect(truncated[0]).toBe(ids[0]!.length === 512)
      }
    },
  )

  it('without any space are cut between characters, never inside one', () => {
    fc.assert(
      fc.property(fc.nat(5), fc.nat(CHUNK * 4), (head, length) => {
        const text = 'x'.repeat(head) + '😀'.repeat(length)
        const pieces: string[] = []
        const ids = (chunk: string) => [pieces.push(chunk)]
        finish(encodeInChunks(text, { ids, before: [], after: [1], space: 'run' }))
        expect(pieces.join('')).toBe(text)
        expect(pieces.every((piece) => piece.length <= CHUNK && toUSVString(piece) === piece)).toBe(true)
      }),
    )
  })
})

describe('tokenizeAll', () => {
  it('cuts to the length with eos last, and says which prompts lost tokens', async () => {
    const { ids, truncated } = await tokenizeAll(google, ['a cat made of glass', 'a cat', ''], 4)
    expect(ids.map((row) => [...row])).toEqual([[3, 9, 1712, 1], [3, 9, 1712, 1], [1]])
    expect(truncated).toEqual([true, false, false])
  })

  it('gives the event loop its turn while it works', async () => {
    const prompts = Array.from({ length: 20 }, () =>
      readFileSync('test/data/prompts/parti.txt', 'utf8').split('\n'),
    ).flat()
    let turns = 0
    const timer = setInterval(() => turns++, 1)
    await tokenizeAll(google, prompts.slice(0, 20_000), 512)
    clearInterval(timer)
    expect(turns).toBeGreaterThan(5)
  })

  it('stops when told to', async () => {
    await expect(tokenizeAll(google, ['a'], 9, AbortSignal.abort(new Error('enough')))).rejects.toThrow(
      'enough',
    )
    const prompts = Array.from({ length: 1e6 }, () => 'a cat made of glass')
    await expect(tokenizeAll(google, prompts, 9, AbortSignal.timeout(30))).rejects.toThrow(/timeout/)
  })
})

describe('opening', () => {
  let dir = ''
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'skrr-tokenizer-'))
  })
  afterAll(() => rm(dir, { recursive: true }))

  it('a folder takes tokenizer.json, else spiece.model, else tokenizer.model', async () => {
    expect((await openTokenizer(folder)).file).toBe(join(folder, 'tokenizer.json'))
    await cp(join(folder, 'spiece.model'), join(dir, 'spiece.model'))
    expect((await openTokenizer(dir)).file).toBe(join(dir, 'spiece.model'))
    await rm(join(dir, 'spiece.model'))
    await cp('test/data/tokenizers/pile-t5/tokenizer.model', join(dir, 'tokenizer.model'))
    expect((await openTokenizer(dir)).file).toBe(join(dir, 'tokenizer.model'))
    await rm(join(dir, 'tokenizer.model'))
    await expect(openTokenizer(dir)).rejects.toThrow(
      'found none of tokenizer.json, spiece.model, tokenizer.model',
    )
  })

  it('prints nothing and leaves no listener on the process, also when several open at once', async () => {
    const console = (['log', 'warn', 'error', 'info'] as const).map((m) => vi.spyOn(globalThis.console, m))
    const mine = () => undefined
    process.on('uncaughtException', mine)
    const before = processListeners()
    await Promise.all(Array.from({ length: 3 }, () => openTokenizer(join(folder, 'spiece.model'))))
    expect(processListeners()).toEqual(before)
    process.off('uncaughtException', mine)
    for (const spy of console) expect(spy).not.toHaveBeenCalled()
    vi.restoreAllMocks()
  })

  const model = readFileSync(join(folder, 'spiece.model'))
  const json = readFileSync(join(folder, 'tokenizer.json'), 'utf8')
  const pointer = 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 791656\n'
  it.each<[string, string, string | Uint8Array, string]>([
    ['a pointer to the real file', 'spiece.model', pointer, 'a Git LFS pointer'],
    ['a pointer to the real file', 'tokenizer.json', pointer, 'a Git LFS pointer'],
    ['an empty file', 'spiece.model', '', 'an empty file'],
    [
      'what would fill the memory',
      'tokenizer.json',
      `{"x":[${'{},'.repeat(2_000_000)}0]}`,
      '2000002 lists and objects',
    ],
    ['a model cut short', 'spiece.model', model.subarray(0, 400_000), 'the SentencePiece model of a T5'],
    ['a model cut between pieces', 'spiece.model', model.subarray(0, 14), 'the SentencePiece model of a T5'],
    [
      'a model with bytes changed',
      'spiece.model',
      model.map((b, i) => (i % 997 ? b : b ^ 0x55)),
      'expected the SentencePiece',
    ],
    ['text', 'spiece.model', 'hello, this is no model', 'bytes of another form'],
    ['JSON under that name', 'spiece.model', '{"model": 1}', 'a JSON text'],
    ['JSON cut short', 'tokenizer.json', json.slice(0, 5000), 'found no JSON'],
    ['JSON of something else', 'tokenizer.json', '{"a": 1}', 'expected the tokenizer.json of a T5'],
    [
      'an empty vocabulary',
      'tokenizer.json',
      '{"model": {"type": "BPE", "vocab": {}, "merges": []}}',
      'cannot be used',
    ],
    [
      'the tokenizer of BERT',
      'tokenizer.json',
      '{"model": {"type": "WordPiece", "vocab": {}}}',
      'found "WordPiece"',
    ],
    ['no special tokens', 'tokenizer.json', json.replaceAll('"<pad>"', '"<pod>"'), 'pad it with <pad>'],
    [
      'a bad vocabulary',
      'tokenizer.json',
      '{"model": {"type": "Unigram", "vocab": [["a"]]}}',
      'model.vocab.0',
    ],
    [
      'parts unknown to the engine',
      'tokenizer.json',
      json.replace('"Precompiled"', '"Newfangled"'),
      'cannot be used',
    ],
    ['bytes that are not UTF-8', 'tokenizer.json', Uint8Array.of(0xff, 0xfe, 0x7b), 'found no JSON'],
  ])('%s as %s is a TokenizerError', async (_, name, content, part) => {
    const console = vi.spyOn(globalThis.console, 'error')
    const file = join(dir, name)
    await writeFile(file, content)
    const error = await openTokenizer(file).catch((e: unknown) => e)
    expect(error).toBeInstanceOf(TokenizerError)
    expect((error as Error).message).toContain(`${file}: `)
    expect((error as Error).message).toContain(part)
    expect(console).not.toHaveBeenCalled()
    await rm(file)
  })

  it('nothing, or a device, is a TokenizerError', async () => {
    await expect(openTokenizer(join(dir, 'none'))).rejects.toThrow(TokenizerError)
    await expect(openTokenizer('/dev/null')).rejects.toThrow('a device, pipe or socket')
  })
})
