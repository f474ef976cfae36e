import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { captionOf, promptClean, prxClean } from '../../src/prompts/cleaning.js'
import { golden } from '../golden.js'

type Case = Record<
  'text' | 'prompt_clean' | 'pixart_default' | 'pixart_clean_caption' | 'prx_clean_text',
  string
>
const { cases } = JSON.parse(readFileSync(golden('pipelines', 'cleaning.json'), 'utf8')) as { cases: Case[] }

describe("prompts are cleaned as by diffusers' own code, with ftfy", () => {
  it.each(cases)('$text', async (expected) => {
    const { text } = expected
    expect(promptClean(text)).toBe(expected.prompt_clean)
    expect(await captionOf(text, { args: {} })).toBe(expected.pixart_default)
    expect(await captionOf(text, { args: { clean_caption: true } })).toBe(expected.pixart_clean_caption)
    expect(prxClean(text)).toBe(expected.prx_clean_text)
  })
})
