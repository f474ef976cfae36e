import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { readTensors } from '../../src/checkpoint/tensor-file.js'
import { writeSafetensors, type TensorSource } from '../../src/export/write.js'
import { Plan, Encoder, type EncoderInput } from '../../src/index.js'
import { keptFolder, promptModel, temporaryFolder } from '../checkpoint/helpers.js'
import { golden, goldenCases } from '../golden.js'
import { relativeError, TOLERANCE } from '../tolerance.js'
import { skrr, skrrJson } from './run.js'

/** `skrr encode`, as scripts and people use it. */

interface Report {
  out: string
  shape: number[]
  truncated: number[]
  device: string
  precision: string
  sparsity: number
  memory: { weights: number; embedding: number; workspace: number; total: number }
  ms: { load: number; encode: number }
}

const bytes = (array: Int32Array | Float32Array): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength)

/** Writes what a user hands to --input-ids or --inputs-embeds. */
async function inputFile(file: string, input: EncoderInput & object): Promise<string> {
  if (!('attentionMask' in input)) throw new Error('ids or embeddings')
  const tensors: TensorSource[] = []
  if ('inputIds' in input) {
    const { data, shape } = input.inputIds
    tensors.push({ name: 'input_ids', dtype: 'I32', shape, data: bytes(data) })
  } else {
    const { data, shape } = input.inputsEmbeds
    tensors.push({ name: 'inputs_embeds', dtype: 'F32', shape, data: bytes(data) })
  }
  const shape = tensors[0]!.shape.slice(0, 2)
  if (input.attentionMask)
    tensors.push({ name: 'attention_mask', dtype: 'I32', shape, data: bytes(input.attentionMask) })
  await writeSafetensors(file, tensors)
  return file
}

async function readOutput(
  file: string,
): Promise<{ shape: readonly number[]; hidden: Float32Array; mask: number[] }> {
  const tensors = await readTensors(file)
  expect([...tensors.keys()].sort()).toEqual(['attention_mask', 'last_hidden_state'])
  const [hidden, mask] = [tensors.get('last_hidden_state')!, tensors.get('attention_mask')!]
  expect([hidden.dtype, mask.dtype]).toEqual(['F32', 'I32'])
  expect(mask.shape).toEqual(hidden.shape.slice(0, 2))
  return { shape: hidden.shape, hidden: hidden.data as Float32Array, mask: [...(mask.data as Int32Array)] }
}

for (const model of ['t5-tiny-v10', 't5-tiny-v11', 't5-odd', 'umt5-tiny']) {
  const cases = await goldenCases(model)

  describe(`what Hugging Face computes, through skrr encode --input-ids: ${model}`, () => {
    it.each(cases)('$name', async ({ input, expected, shape }) => {
      const folder = await temporaryFolder()
      const [ids, out] = [join(folder, 'ids.safetensors'), join(folder, 'out.safetensors')]
      await inputFile(ids, input as EncoderInput & object)
      const report = await skrrJson<Report>([
        ...['encode', '--model', golden(model), '--input-ids', ids, '--out', out],
      ])
      expect(report).toMatchObject({
        out,
        shape,
        truncated: [],
        device: 'cpu',
        precision: 'f32',
        sparsity: 0,
      })
      const result = await readOutput(out)
      expect(result.shape).toEqual(shape)
      expect(relativeError(result.hidden, expected)).toBeLessThan(TOLERANCE.f32)
    })

    it('in bf16, where asked', async () => {
      const { input, expectedBf16, bf16Error } = cases.find((each) => each.expectedBf16)!
      const folder = await temporaryFolder()
      const [ids, out] = [join(folder, 'ids.safetensors'), join(folder, 'out.safetensors')]
      await inputFile(ids, input as EncoderInput & object)
      const { precision } = await skrrJson<Report>([
        ...['encode', '--model', golden(model), '--precision', 'bf16', '--input-ids', ids, '--out', out],
      ])
      expect(precision).toBe('bf16')
      const { hidden } = await readOutput(out)
      expect(relativeError(hidden, expectedBf16!)).toBeLessThan(bf16Error ?? TOLERANCE.bf16)
    })
  })
}

describe('--states and --pooled', () => {
  it('write the states that are named, after no more blocks than they need', async () => {
    const { input, expected } = (await goldenCases('t5-tiny-v11'))[0]!
    const folder = await temporaryFolder()
    const ids = await inputFile(join(folder, 'ids.safetensors'), input as EncoderInput & object)
    const encode = async (...options: string[]) => {
      const out = join(folder, 'out.safetensors')
      const args = ['encode', '--model', golden('t5-tiny-v11'), '--input-ids', ids, '--out', out, ...options]
      return { report: await skrrJson<Report>(args), tensors: await readTensors(out) }
    }
    const whole = await encode('--states', '2,last,normed,3:normed')
    expect([...whole.tensors.keys()].sort()).toEqual(
      ['attention_mask', 'state.2', 'state.3.normed', 'state.last', 'state.normed'].sort(),
    )
    const normed = whole.tensors.get('state.normed')!.data as Float32Array
    expect(relativeError(normed, expected)).toBeLessThan(TOLERANCE.f32)
    const cut = await encode('--states', '2')
    expect(cut.tensors.get('state.2')).toEqual(whole.tensors.get('state.2'))
    expect(cut.report.memory.weights).toBeLessThan(0.4 * whole.report.memory.weights)
  })

  it.each(['2,', 'first', '-1', '2:norm', '1e3', '7'])('%j is refused', async (states) => {
    const args = ['encode', '--model', golden('t5-tiny-v11'), '--prompt', 'x', '--out', 'x.safetensors']
    const { code, stderr } = await skrr([...args, '--states', states])
    expect(code).not.toBe(0)
    expect(stderr).toMatch(/expected/)
  })
})

describe('--pipeline and --max-tokens with --input-ids', () => {
  const ids = { data: Int32Array.of(3, 9, 7, 5, 4, 8, 1), shape: [1, 7] }
  const encode = async (...options: string[]) => {
    const folder = await temporaryFolder()
    const file = await inputFile(join(folder, 'ids.safetensors'), { inputIds: ids, attentionMask: undefined })
    const out = join(folder, 'out.safetensors')
    return { out, args: ['encode', '--model', MODEL, '--input-ids', file, '--out', out, ...options] }
  }
  const MODEL = golden('t5-tiny-v11')

  it('pad ids as they pad prompts: pads are tokens for flux, none for mochi', async () => {
    await using encoder = await Encoder.load(MODEL)
    const padded = { data: new Int32Array(256), shape: [1, 256] }
    padded.data.set(ids.data)
    const mask = Int32Array.from(padded.data, (_, t) => (t < 7 ? 1 : 0))
    for (const [pipeline, attentionMask] of [
      ['flux', undefined],
      ['mochi', mask],
    ] as const) {
      const { args, out } = await encode('--pipeline', pipeline, '--max-tokens', '256')
      expect(await skrrJson<Report>(args)).toMatchObject({ shape: [1, 256, 64], truncated: [] })
      const { hidden } = await readOutput(out)
      expect(hidden).toEqual(
        (await encoder.encode({ inputIds: padded, attentionMask }, { masked: 'zero' })).embeddings,
      )
    }
  })

  it.each([
    [['--max-tokens', '6'], 'inputIds: found 7 tokens, expected at most 6, as maxTokens says'],
    [['--pipeline', 'flux', '--max-tokens', '6'], 'inputIds: found 7 tokens, expected at most 6'],
    [['--pipeline', 'flux', '--masked', 'zero'], 'masked: found zero, with the pipeline flux'],
  ])('%j is an error', async (options, message) => {
    const { code, stderr } = await skrr((await encode(...options)).args)
    expect([code, stderr]).toEqual([1, expect.stringContaining(message)])
  })
})

describe('--inputs-embeds', () => {
  it('takes rows in place of tokens, with a mask or without', async () => {
    const folder = await temporaryFolder()
    const data = Float32Array.from({ length: 2 * 3 * 64 }, (_, i) => Math.sin(i))
    const out = join(folder, 'out.safetensors')
    for (const attentionMask of [undefined, Int32Array.of(1, 1, 1, 1, 1, 0)]) {
      const input = { inputsEmbeds: { data, shape: [2, 3, 64] }, attentionMask }
      const file = await inputFile(join(folder, 'embeds.safetensors'), input)
      await skrrJson(['encode', '--model', golden('t5-tiny-v11'), '--inputs-embeds', file, '--out', out])
      const { hidden, mask, shape } = await readOutput(out)
      await using encoder = await Encoder.load(golden('t5-tiny-v11'))
      expect(hidden).toEqual((await encoder.encode(input)).embeddings)
      expect(shape).toEqual([2, 3, 64])
      expect(mask).toEqual([...(attentionMask ?? [1, 1, 1, 1, 1, 1])])
    }
  })

  it('leaves masked rows zero with --masked zero', async () => {
    const folder = await temporaryFolder()
    const file = await inputFile(join(folder, 'ids.safetensors'), {
      inputIds: { data: Int32Array.of(5, 1, 0), shape: [1, 3] },
      attentionMask: Int32Array.of(1, 1, 0),
    })
    const out = join(folder, 'out.safetensors')
    const model = ['--model', golden('t5-tiny-v11')]
    await skrrJson(['encode', ...model, '--input-ids', file, '--masked', 'zero', '--out', out])
    const { hidden } = await readOutput(out)
    expect(hidden.slice(0, 128).some((x) => x === 0)).toBe(false)
    expect(hidden.slice(128).every((x) => x === 0)).toBe(true)
  })
})

describe('prompts', () => {
  const folder = keptFolder()
  let model: string
  beforeAll(async () => void (model = await promptModel(join(folder(), 'model'))))

  /** The embeddings of the library, for comparison. */
  async function embed(prompts: string[], pipeline?: 'flux' | 'chroma'): Promise<Float32Array> {
    await using encoder = await Encoder.load(model)
    return (await encoder.encode(prompts, { pipeline })).embeddings
  }

  it('are arguments of --prompt', async () => {
    const out = join(folder(), 'arguments.safetensors')
    const report = await skrrJson<Report>([
      'encode',
      '--model',
      model,
      '--prompt',
      'the cat',
      'the',
      '--out',
      out,
    ])
    expect(report.precision).toBe('bf16')
    const { hidden, shape, mask } = await readOutput(out)
    expect(shape).toEqual(report.shape)
    expect(mask).toEqual([1, 1, 1, 1, 1, 0])
    expect(hidden).toEqual(await embed(['the cat', 'the']))
  })

  it('or lines of a file, or of stdin; an empty line is the empty prompt', async () => {
    const file = join(folder(), 'prompts.txt')
    await writeFile(file, '\ufeffa cat made of glass\r\n\r\nzwei Hunde 🐕\r\n')
    const out = join(folder(), 'lines.safetensors')
    await skrrJson(['encode', '--model', model, '--prompts', file, '--out', out])
    const expected = await embed(['a cat made of glass', '', 'zwei Hunde 🐕'])
    expect((await readOutput(out)).hidden).toEqual(expected)
    const stdin = await readFile(file, 'utf8')
    await skrrJson(['encode', '--model', model, '--prompts', '-', '--out', out], { stdin })
    expect((await readOutput(out)).hidden).toEqual(expected)
  })

  it('are masked and padded as a --pipeline has it', async () => {
    const out = join(folder(), 'pipeline.safetensors')
    for (const [pipeline, ones] of [
      ['flux', 512],
      ['chroma', 4],
    ] as const) {
      await skrrJson([
        'encode',
        '--model',
        model,
        '--prompt',
        'the cat',
        '--pipeline',
        pipeline,
        '--out',
        out,
      ])
      const { hidden, shape, mask } = await readOutput(out)
      expect(shape).toEqual([1, 512, 16])
      expect(mask.filter((m) => m === 1)).toHaveLength(ones)
      expect(hidden).toEqual(await embed(['the cat'], pipeline))
    }
  })

  it('that are too long are cut, and that is said', async () => {
    const out = join(folder(), 'cut.safetensors')
    const args = ['encode', '--model', model, '--prompt', 'a', 'one two three four five', '--max-tokens', '4']
    expect(await skrrJson<Report>([...args, '--out', out])).toMatchObject({
      truncated: [1],
      shape: [2, 4, 16],
    })
    const { stdout } = await skrr([...args, '--out', out])
    expect(stdout).toMatch(/truncated +prompts 2/)
  })

  it('come with a report for people, and nothing on stderr', async () => {
    const out = join(folder(), 'report.safetensors')
    const { code, stdout, stderr } = await skrr([
      'encode',
      '--model',
      model,
      '--prompt',
      'the cat',
      '--out',
      out,
    ])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^embeddings +\[1, 3, 16\] float32 in .*report\.safetensors$/m)
    expect(stdout).toMatch(/^memory +[\d.]+ kB weights, .* workspace, .* tokenizer \(bf16, cpu\)$/m)
    expect(stdout).toMatch(/^sparsity +0\.0 %$/m)
    expect(stdout).toMatch(/^time +\d+ ms loading, \d+ ms encoding$/m)
  })

  it('run on any number of --threads with the same result', async () => {
    const results = []
    for (const threads of ['1', '3']) {
      const out = join(folder(), `threads-${threads}.safetensors`)
      await skrrJson(['encode', '--model', model, '--prompt', 'the cat', '--threads', threads, '--out', out])
      results.push((await readOutput(out)).hidden)
    }
    expect(results[0]).toEqual(results[1])
  })

  it('take a --tokenizer where none lies beside the weights', async () => {
    const out = join(folder(), 'tokenizer.safetensors')
    const file = join(model, 'model.safetensors')
    const tokenizer = join(model, 'spiece.model')
    await skrrJson(['encode', '--model', file, '--tokenizer', tokenizer, '--prompt', 'the cat', '--out', out])
    expect((await readOutput(out)).hidden).toEqual(await embed(['the cat']))
  })
})

describe('--plan', () => {
  it('is a file, with its scales', async () => {
    const folder = await temporaryFolder()
    const [file, ids, out] = ['plan.json', 'ids.safetensors', 'out.safetensors'].map((name) =>
      join(folder, name),
    )
    const scales = [1, 1, 0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    const plan = new Plan([0, 1, 0, 3, null, 7, 6, 7, 8, 9, 10, null], { scales })
    await writeFile(file!, plan.stringify())
    const input = (await goldenCases('t5-tiny-v11')).find(({ name }) => name === 'len77')!.input
    await inputFile(ids!, input as EncoderInput & object)
    const { sparsity, memory } = await skrrJson<Report>([
      ...['encode', '--model', golden('t5-tiny-v11'), '--plan', file!, '--input-ids', ids!, '--out', out!],
    ])
    await using encoder = await Encoder.load(golden('t5-tiny-v11'), { plan })
    expect(sparsity).toBe(plan.sparsity(encoder.architecture))
    expect(memory.weights).toBe(encoder.memory.weights)
    expect((await readOutput(out!)).hidden).toEqual((await encoder.encode(input)).embeddings)
  })

  it('or a published preset, on a model of T5-XXL’s depth', async () => {
    const folder = await temporaryFolder()
    const model = await promptModel(join(folder, 'model'), { blocks: 24 })
    await using encoder = await Encoder.load(model)
    for (const plan of ['pixart-sigma-41.9', 'flux:5', 'dense']) {
      const out = join(folder, `${plan}.safetensors`)
      await skrrJson(['encode', '--model', model, '--plan', plan, '--prompt', 'the cat', '--out', out])
      await encoder.setPlan(plan)
      expect((await readOutput(out)).hidden).toEqual((await encoder.encode('the cat')).embeddings)
    }
  })
})

describe('--out', () => {
  it('replaces a file whole, and leaves nothing else in its folder', async () => {
    const folder = await temporaryFolder()
    const out = join(folder, 'out.safetensors')
    await writeFile(out, 'of yesterday')
    const model = await promptModel(join(await temporaryFolder(), 'model'))
    await skrrJson(['encode', '--model', model, '--prompt', 'the cat', '--out', out])
    expect((await readOutput(out)).shape).toEqual([1, 3, 16])
    expect(await readdir(folder)).toEqual(['out.safetensors'])
  })
})
