import { blocksOf } from '../../src/model/parameters.js'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import domino from '@mixmark-io/domino'
import { describe, expect, it, onTestFinished } from 'vitest'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { Encoder } from '../../src/encoder.js'
import { native } from '../../src/native/addon.js'
import { Plan } from '../../src/plan/plan.js'
import { html } from '../../src/report/html.js'
import { writeReport } from '../../src/report/report.js'
import type { ReportContext } from '../../src/report/context.js'
import { selectPlan, type Selection, type SelectOptions } from '../../src/select/index.js'
import { measureSimilarity } from '../../src/select/measure/similarity.js'
import { GOLDEN, rejection, temporaryFolder } from '../checkpoint/helpers.js'
import { MODEL, SKRR } from './harness.js'

async function load(): Promise<Encoder> {
  const encoder = await Encoder.load(MODEL, { precision: 'f32', threads: 1 })
  onTestFinished(() => encoder.dispose().then(() => undefined))
  return encoder
}

async function calibration() {
  const ids = (await readTensors(join(SKRR, 'inputs.safetensors'))).get('calibration.input_ids')!
  return { inputIds: { data: ids.data as Int32Array, shape: ids.shape } }
}

const search = async (encoder: Encoder, options: Partial<SelectOptions> = {}): Promise<Selection> =>
  selectPlan(encoder, await calibration(), {
    target: { skipCount: 4 },
    projection: join(GOLDEN, 'projections/pixart.safetensors'),
    ...options,
  })

const cancel = () => new (native().CancelToken)()

interface Element {
  readonly textContent: string
  getAttribute(name: string): string | null
  querySelector(selector: string): Element | null
  querySelectorAll(selector: string): ArrayLike<Element>
}

/** A report of these selections: its text, and as a browser reads it. */
async function written(
  encoder: Encoder,
  selections: readonly Selection[],
  context: Partial<ReportContext> = {},
): Promise<{ text: string; page: Element }> {
  const file = join(await temporaryFolder(), 'report.html')
  const { architecture, precision } = encoder
  await writeReport(file, selections, { architecture, precision, model: 't5', plan: 'plan.json', ...context })
  const text = await readFile(file, 'utf8')
  return { text, page: domino.createDocument(text) as Element }
}

const texts = (page: Element, selector: string): string[] =>
  Array.from(page.querySelectorAll(selector)).map(({ textContent }) => textContent.trim())

describe('the report of a search', () => {
  it('is one file that needs no network and no script', async () => {
    const encoder = await load()
    const similarity = await measureSimilarity(encoder, await calibration())
    const { text, page } = await written(encoder, [await search(encoder)], { similarity })
    expect(text).not.toMatch(/https?:|<script|<link|<img|@import|url\(|\bsrc=|\bhref=|\bon\w+=/i)
    expect(text).toContain(`content="default-src 'none'; style-src 'unsafe-inline'"`)
    expect(text).not.toMatch(/NaN|undefined|Infinity|\[object/)
    expect(page.querySelectorAll('svg').length).toBe(2 * 3 + 3) // three charts for two widths, three heat maps
    expect(page.querySelectorAll('svg [aria-label="cell"] rect').length).toBe(13 ** 2 + 2 * 6 ** 2)
  })

  it('shows the plan as a strip, its figures, the file itself and the command that uses it', async () => {
    const encoder = await load()
    const selection = await search(encoder)
    const { plan, D } = selection
    const { page } = await written(encoder, [selection])
    const cells = texts(page, '.strip .cell').map((text) => text.replace(/×.*/, ''))
    expect(cells).toEqual(plan.table.map((source) => (source === null ? '·' : String(source))))
    expect(texts(page, '.figures dd').join(' ')).toContain(D.total.toPrecision(4))
    expect(texts(page, '.figures dd').join(' ')).toContain('target: 4 sub-blocks removed')
    expect(texts(page, 'details pre')).toEqual([plan.stringify().trim()])
    expect(texts(page, 'section > pre')[0]).toMatch(/^skrr encode --model t5 --plan plan\.json /)
    expect(texts(page, '.warning')).toEqual([])
  })

  it('draws D after each removal of the best beam, then each later step', async () => {
    const encoder = await load()
    const { trace, ...rest } = await search(encoder, { method: 'paper', target: { skipCount: 5 } })
    const { page } = await written(encoder, [{ trace, ...rest }])
    const chart = page.querySelector('.wide svg')!
    const points = texts(chart, '[aria-label="dot"] title').filter((title) => title.includes(': D '))
    const { skips, D } = trace.result!
    expect(points.slice(0, 5).map((title) => Number(title.split(':')[0]))).toEqual(skips)
    expect(points[4]).toBe(`${skips[4]}: D ${D.toPrecision(4)}`)
    expect(points.length).toBe(5 + trace.reuse!.pruning!.trace.length)
    expect(points.at(-1)!.split('D ')[1]).toBe(trace.D.toPrecision(4))
  })

  it('draws the removals alone where a method chose them by a measure of its own', async () => {
    const encoder = await load()
    const { page } = await written(encoder, [await search(encoder, { method: 'finercut', reuse: true })])
    const points = texts(page.querySelector('.wide svg')!, '[aria-label="dot"] title')
    expect(points.length).toBe(4)
    expect(texts(page, 'h2')).not.toContain('D against bytes') // one point
  })

  it('sets other methods beside it, also those that measure no D on their way', async () => {
    const encoder = await load()
    const selections = [
      await search(encoder),
      await search(encoder, { method: 'shortgpt' }),
      await search(encoder, { method: 'finercut', reuse: true }),
      await search(encoder, { method: 'paper', reuse: false, metric: 'cosine' }),
    ]
    const { page } = await written(encoder, selections)
    const names = ['skrr', 'shortgpt', 'finercut, re-use', 'paper, skip only, cosine']
    expect(texts(page, 'tbody td:first-child')).toEqual(names)
    for (const selection of selections) {
      const { page: alone } = await written(encoder, [selection])
      expect(texts(alone, 'table')).toEqual([])
      const bars = Array.from(alone.querySelectorAll('.bar i'), (bar) => bar.getAttribute('style')!)
      for (const style of bars) expect(parseFloat(style.slice('width: '.length))).toBeLessThanOrEqual(100)
    }
  })

  it('joins the plans of one method for several targets', async () => {
    const encoder = await load()
    const targets = [{ skipCount: 4 }, { skipCount: 2 }, { sparsity: 0.4 }]
    const selections: Selection[] = []
    for (const target of targets) selections.push(await search(encoder, { method: 'shortgpt', target }))
    const { page } = await written(encoder, selections)
    const line = texts(page, '.wide [aria-label="line"] path')
    expect(line.length).toBe(1)
    expect(texts(page, 'tbody tr').length).toBe(3)
  })

  it.each([1.6, 0.6])('warns of a null condition %s times as long as the dense one', async (nullNorm) => {
    const encoder = await load()
    const selection = await search(encoder, { method: 'paper' })
    const { page } = await written(encoder, [{ ...selection, nullNorm }])
    expect(texts(page, '.warning')[0]).toContain(`paper ×${nullNorm.toPrecision(3)}`)
  })

  it('escapes what comes from outside, and quotes it for the shell', async () => {
    const encoder = await load()
    const { trace, ...selection } = await search(encoder)
    const hostile = `</title><script>alert('x')</script>"&`
    const { text, page } = await written(encoder, [{ ...selection, trace: { ...trace, method: hostile } }], {
      model: hostile,
      plan: "it's; rm -rf $HOME",
    })
    expect(text).not.toContain('<script')
    expect(texts(page, 'script')).toEqual([])
    expect(texts(page, 'title')[0]).toBe(`Plan for ${hostile}`)
    expect(texts(page, 'section > pre')[0]).toContain(String.raw`--plan 'it'\''s; rm -rf $HOME'`)
    expect(html`<a b="${`"'<>&`}">${[html`<i></i>`, '<']}</a>`.text).toBe(
      '<a b="&quot;&#39;&lt;&gt;&amp;"><i></i>&lt;</a>',
    )
  })

  it('is refused where there is nothing to report, or no place for it', async () => {
    const encoder = await load()
    const folder = await temporaryFolder()
    const { architecture, precision } = encoder
    const context = { architecture, precision, model: 't5', plan: 'plan.json' }
    const empty = await rejection(writeReport(join(folder, 'a.html'), [], context))
    expect(empty.message).toMatch(/selections: found none/)
    const selection = await search(encoder)
    const nowhere = await rejection(writeReport(join(folder, 'no/a.html'), [selection], context))
    expect(nowhere.message).toMatch(/no\/a\.html: cannot be written/)
    expect(await readdir(folder)).toEqual([])
  })
})

describe('similarity', () => {
  it('of the residual stream is what ShortGPT takes its influence from', async () => {
    const encoder = await load()
    const { trace } = await search(encoder, { method: 'shortgpt' })
    const { hidden, tokens, ofTokens, executed } = await measureSimilarity(encoder, await calibration())
    for (const [block, influence] of trace.influence!.entries()) {
      expect(1 - hidden[2 * block]![2 * block + 2]!).toBeCloseTo(influence, 10)
    }
    for (const [i, row] of hidden.entries()) {
      expect(row[i]).toBeCloseTo(1, 12)
      for (const [j, value] of row.entries()) expect(value).toBe(hidden[j]![i])
    }
    expect([tokens, ofTokens, executed]).toEqual([96, 96, 2 * 12 * 96])
  })

  it('of residuals for one input follows from their lengths', async () => {
    const encoder = await load()
    const single = { inputIds: { data: Int32Array.of(7, 7), shape: [2, 1] } }
    const { attention, feedForward } = await measureSimilarity(encoder, single)
    const { engine, architecture } = encoder
    const count = 2 * blocksOf(architecture)
    const { native: dense } = await engine.loadPlan(Plan.dense(blocksOf(architecture)), [])
    const batch = {
      ...{ starts: Int32Array.of(0, 1), indices: Int32Array.of(0), visible: Uint8Array.of(1) },
      ids: Int32Array.of(7),
    }
    const middle = await engine.native.advance(
      await engine.native.begin(batch, cancel()),
      dense,
      0,
      count / 2,
      cancel(),
    )
    const after = (s: number) => engine.native.advance(middle, dense, s, s + 1, cancel())
    const square = async (a: number, b?: number): Promise<number> =>
      (await engine.native.compareStates(await after(a), b === undefined ? middle : await after(b)))[0]!
    for (const [map, half] of [
      [attention, 0],
      [feedForward, 1],
    ] as const) {
      // prettier-ignore
      for (const [i, j] of [[0, 1], [2, 5], [4, 3]] as const) { // prettier-ignore
        const [a, b] = [2 * i + half, 2 * j + half]
        const [aa, bb] = [await square(a), await square(b)]
        const cosine = (aa + bb - (await square(a, b))) / 2 / Math.sqrt(aa * bb)
        expect(map[i]![j]).toBeCloseTo(cosine, 4)
      }
    }
  })

  it('leaves the encoder with its own weights, and stops when aborted', async () => {
    const encoder = await load()
    await encoder.setPlan((await search(encoder)).plan, { release: true })
    const { weights } = encoder.memory
    await measureSimilarity(encoder, await calibration())
    expect(encoder.memory.weights).toBe(weights)
    const stopped = measureSimilarity(encoder, await calibration(), {
      signal: AbortSignal.abort(new Error('enough')),
    })
    await expect(stopped).rejects.toThrow('enough')
    expect(encoder.memory.weights).toBe(weights)
  })
})
