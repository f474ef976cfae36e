import { stripVTControlCharacters } from 'node:util'
import { describe, expect, it } from 'vitest'
import { Plan } from '../../src/plan/plan.js'
import { resolvePreset } from '../../src/plan/presets.js'
import { strip } from '../../src/plan/strip.js'
import { t5xxl } from './models.js'

const pixart = resolvePreset('pixart-sigma-41.9', t5xxl)

describe('the strip of a plan', () => {
  it('shows 24 blocks on 80 columns: a column a block, attention above feed-forward', () => {
    const text = strip(pixart, { color: false })
    expect(Math.max(...text.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
    expect(text).toMatchInlineSnapshot(`
      "block  0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15 16 17 18 19 20 21 22 23
      attn  ██  0 ██  4 ██ 12 ██ ██ ██ 16 ██ ██  · ██ ██  · ██ ██ ██  ·  ·  ·  ·  ·
      ffn   ██ ██  7 ██ ██  9 ██ ██ 19 ██ ██ 21 27 ██  · ██ ██ ██  ·  · ██ ██  ·  ·

      re-use  2←0    5←7    6←4    10←12  11←9   17←19  18←16  23←21  25←27
      ██ 27 run   n 9 run with sub-block n's weights   · 12 skipped"
    `)
  })

  it('shows scales: of re-used sub-blocks beside their source, of others in a row of their own', () => {
    const scales = [1, 0.9, 1, 0.25, 1, 1, 1, 1]
    const plan = new Plan([0, 1, 0, 1, null, 5, 6, null], { scales })
    expect(strip(plan, { color: false })).toMatchInlineSnapshot(`
      "block  0  1  2  3
      attn  ██  0  · ██
      ffn   ▒▒  1 ██  ·

      re-use  2←0        3←1 ×0.25
      scale   1 ×0.9
      ██ 4 run   ▒▒ run scaled   n 2 run with sub-block n's weights   · 2 skipped"
    `)
  })

  it('lists the weights that have a precision of their own', () => {
    const precisions = [null, 'int8', null, 'bf16', 'int8', null, null, null] as const
    const plan = new Plan([0, 1, 0, 3, 4, 1, 6, 7], { precisions })
    expect(strip(plan, { color: false })).toMatchInlineSnapshot(`
      "block  0  1  2  3
      attn  ██  0 ██ ██
      ffn   ██ ██  1 ██

      re-use  2←0  5←1
      bf16    3
      int8    1  4
      ██ 6 run   n 2 run with sub-block n's weights"
    `)
  })

  it('breaks into bands on a narrow terminal', () => {
    expect(strip(pixart, { color: false, width: 43 })).toMatchInlineSnapshot(`
      "block  0  1  2  3  4  5  6  7  8  9 10 11
      attn  ██  0 ██  4 ██ 12 ██ ██ ██ 16 ██ ██
      ffn   ██ ██  7 ██ ██  9 ██ ██ 19 ██ ██ 21

      block 12 13 14 15 16 17 18 19 20 21 22 23
      attn   · ██ ██  · ██ ██ ██  ·  ·  ·  ·  ·
      ffn   27 ██  · ██ ██ ██  ·  · ██ ██  ·  ·

      re-use  2←0    5←7    6←4    10←12  11←9
              17←19  18←16  23←21  25←27
      ██ 27 run   n 9 run with sub-block n's weights   · 12 skipped"
    `)
    // one block and one item a line, however narrow
    expect(strip(pixart, { color: false, width: 0 })).toBe(strip(pixart, { color: false, width: 8 }))
  })

  it('says the same in colour', () => {
    const colored = strip(pixart, { color: true })
    expect(colored).toContain('\u001b[')
    expect(stripVTControlCharacters(colored)).toBe(strip(pixart, { color: false }))
  })
})
