import { describe, expect, it } from 'vitest'
import { InputError } from '../src/errors.js'
import { pipelines, preparePrompt, resolvePipeline } from '../src/pipelines/index.js'

describe('pipelines', () => {
  it('cut prompts to the length their diffusers pipeline asks for', () => {
    const lengths = Object.fromEntries(Object.entries(pipelines).map(([name, p]) => [name, p.maxTokens]))
    expect(lengths).toEqual({
      none: 512,
      flux: 512,
      sd3: 256,
      'pixart-sigma': 300,
      cogvideox: 226,
      ltx: 128,
      mochi: 256,
      wan: 512,
      auraflow: 256,
      chroma: 512,
    })
  })

  it('without a mask for T5 are these four; of them LTX masks the denoiser', () => {
    const unmasked = Object.entries(pipelines).filter(([, p]) => p.attendToPads)
    expect(unmasked.map(([name, p]) => [name, p.maskReturned])).toEqual([
      ['flux', false],
      ['sd3', false],
      ['cogvideox', false],
      ['ltx', true],
    ])
  })

  it('lower-case a prompt where the pipeline does: PixArt-Sigma', () => {
    expect(preparePrompt(resolvePipeline('pixart-sigma'), ' A Cat ÀÉ ')).toBe('a cat àé')
    expect(preparePrompt(resolvePipeline('flux'), ' A Cat ')).toBe(' A Cat ')
  })

  it.each(['Flux', '', 'toString', '__proto__'])('"%s" is an InputError that lists the names', (name) => {
    expect(() => resolvePipeline(name)).toThrow(InputError)
    expect(() => resolvePipeline(name)).toThrow('none, flux, sd3, pixart-sigma')
  })

  it('cannot be changed for all callers of a process', () => {
    expect(Object.isFrozen(pipelines)).toBe(true)
    for (const pipeline of Object.values(pipelines)) expect(Object.isFrozen(pipeline)).toBe(true)
  })
})
