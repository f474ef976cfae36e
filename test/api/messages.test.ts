import { describe, expect, it } from 'vitest'
import { CheckpointError } from '../../src/errors.js'

describe("an error's message", () => {
  const message = (found: string): string =>
    new CheckpointError({ file: '/m/model.safetensors', field: 'q', found, expected: 'F32', hint: 'Mend it' })
      .message

  it('has its parts in order', () => {
    expect(message('F99')).toBe('/m/model.safetensors: q: found F99, expected F32. Mend it')
  })

  it.each([
    ['a sequence that clears the screen', '\u001b[2J', '\\u001b[2J'],
    ['a line of its own', 'a\nerror: b', 'a\\u000aerror: b'],
    ['text that runs backwards', '\u202eabc', '\\u202eabc'],
    ['letters of any language', 'größe 大きさ 😀', 'größe 大きさ 😀'],
  ])('shows what a file holds, and does not do it: %s', (_, found, shown) => {
    expect(message(found)).toContain(`found ${shown}, expected`)
  })

  it('ends, however long what a file holds is', () => {
    const long = 'x'.repeat(1e6)
    const { message } = new CheckpointError({
      file: '/m',
      field: long,
      found: long,
      expected: long,
      hint: 'Mend it',
    })
    expect(message.length).toBeLessThan(2000)
    expect(message).toMatch(/^\/m: xxx.*\.\.\.: found xxx.*\.\.\., expected xxx.*\. Mend it$/)
    expect(new CheckpointError({ file: '/m', message: long }).message.length).toBeLessThan(2000)
  })
})
