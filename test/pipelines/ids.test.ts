import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { sidesOf } from '../../src/pipelines/sides.js'
import { pipelineNamed } from '../../src/pipelines/catalogue.js'
import type { Row } from '../../src/pipelines/types.js'
import { rowsOf, type RowTokenizer } from '../../src/prompts/rows.js'
import { openTokenizer, tokenizeAll, type Tokenizer } from '../../src/prompts/tokenizer/index.js'
import { keptFolder } from '../checkpoint/helpers.js'
import { golden } from '../golden.js'
import { tokenizerFolder } from './tokenizers.js'

interface Golden {
  readonly tokenizers: Readonly<Record<string, string>>
  readonly index: Record<string, unknown>
  readonly cases: readonly {
    readonly name: string
    readonly args: Record<string, unknown>
    readonly calls: readonly {
      readonly slot: string
      readonly ids: readonly string[]
      readonly mask: readonly string[] | null
      readonly positions?: readonly string[]
    }[]
  }[]
}

const goldens = JSON.parse(readFileSync(golden('pipelines', 'ids.json'), 'utf8')) as Record<string, Golden>

/** Four and more of the same number in a row are `number*times` in the file. */
function runs(line: ArrayLike<number>): string {
  const out: string[] = []
  for (let i = 0, j = 0; i < line.length; i = j) {
    while (j < line.length && line[j] === line[i]) j++
    const times = j - i
    out.push(...(times >= 4 ? [`${line[i]}*${times}`] : Array<string>(times).fill(`${line[i]}`)))
  }
  return out.join(' ')
}

/** Without a thread, so that many vocabularies come and go. */
const inThisThread = (tokenizer: Tokenizer): RowTokenizer => ({
  padId: tokenizer.padId,
  padSide: tokenizer.padSide,
  eosId: tokenizer.eosId,
  maxLength: tokenizer.maxLength,
  tokenize(prompts, maxTokens, signal, bare = false) {
    const encodeSteps: Tokenizer['encodeSteps'] = (text, max) => tokenizer.encodeSteps(text, max, bare)
    return tokenizeAll({ encodeSteps, after: bare ? [] : tokenizer.after }, prompts, maxTokens, signal)
  },
})

const NAMES: Readonly<Record<string, string>> = { 'sd3-no-t5': 'sd3', 'mochi-force-zeros': 'mochi' }
/** A short prompt beside an over-long one: diffusers takes the pads for text and cuts the short one to nothing. */
const WRONG_IN_DIFFUSERS = 'quirk-batch-with-one-too-long'

/** Pipelines by what they tokenise with, so that one vocabulary is in memory at a time. */
const byKind = new Map<string, [string, Golden][]>()
for (const each of Object.entries(goldens)) {
  const [kind] = Object.values(each[1].tokenizers)
  byKind.set(kind!, [...(byKind.get(kind!) ?? []), each])
}

describe('ids and masks are those of diffusers', () => {
  const root = keptFolder()

  describe.each([...byKind])('%s', (_, pipelines) => {
    const opened = new Map<string, Promise<Tokenizer>>()
    const open = (kind: string): Promise<Tokenizer> => {
      const tokenizer = opened.get(kind) ?? openTokenizer(tokenizerFolder(kind, root()))
      opened.set(kind, tokenizer)
      return tokenizer
    }

    it.each(pipelines)('%s', { timeout: 240_000 }, async (name, { tokenizers, index, cases }) => {
      const data = pipelineNamed(NAMES[name] ?? name)
      for (const { name: caseName, args, calls } of cases) {
        if (caseName === WRONG_IN_DIFFUSERS) continue
        const found: Record<string, Row[]> = {}
        for (const side of sidesOf(data, args, index)) {
          for (const [slotName, slot] of Object.entries(data.slots)) {
            const kind = tokenizers[slot.tokenizer]
            if (kind === undefined || slot.idsOnly) continue
            const rows = await rowsOf(slot, slotName, inThisThread(await open(kind)), side, index)
            ;(found[slotName] ??= []).push(...rows.filter((row) => row !== undefined))
          }
        }
        // negative prompts come first in PRX's one call
        if (name === 'prx')
          found.text_encoder!.push(...found.text_encoder!.splice(0, found.text_encoder!.length / 2))
        // HiDream encodes one negative prompt once for all prompts
        const prompts = Array.isArray(args.prompt) ? args.prompt.length : 1
        const whole = (lines: readonly string[]): readonly string[] =>
          name === 'hidream-i1' && lines.length === 1 ? Array<string>(prompts).fill(lines[0]!) : lines
        const where = `${name} ${caseName}`
        for (const slotName of Object.keys(data.slots)) {
          const rows = found[slotName] ?? []
          const expected = calls.filter(({ slot }) => slot === slotName)
          expect(
            rows.map(({ ids }) => runs(ids)),
            `${where} ${slotName}`,
          ).toEqual(expected.flatMap(({ ids }) => whole(ids)))
          const masks = expected.flatMap(({ mask }) => whole(mask ?? []))
          if (data.slots[slotName]!.mask)
            expect(
              rows.map(({ mask }) => runs(mask)),
              where,
            ).toEqual(masks)
          else expect(masks, where).toEqual([])
          const positions = expected.flatMap(({ positions: at }) => at ?? [])
          expect(
            rows.flatMap(({ positions: at }) => (at ? [runs(at)] : [])),
            where,
          ).toEqual(positions)
        }
      }
    })
  })
})
