import { cp, open, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openCheckpoint } from '../../src/checkpoint/open.js'
import {
  CheckpointError,
  InputError,
  Plan,
  PlanError,
  SkrrError,
  Encoder,
  TokenizerError,
  writePlan,
  type EncoderInput,
  type ErrorCode,
  type Matrix,
} from '../../src/index.js'
import { native, runJob } from '../../src/native/addon.js'
import { nativeSpec } from '../../src/native/spec.js'
import {
  DATA,
  keptFolder,
  namedTensors,
  promptModel,
  rejection,
  temporaryFolder,
} from '../checkpoint/helpers.js'
import { golden } from '../golden.js'

// These tests use the public API, as a program does: every failure is one SkrrError that says where, what was found and what was
// expected, and the encoder (or the next one) then works as if it had not happened.

const ids = (...values: number[]): { inputIds: Matrix<Int32Array> } => ({
  inputIds: { data: Int32Array.from(values), shape: [1, values.length] },
})
const GOOD = ids(5, 6, 1)

/** The embeddings of an encoder that met no failure. */
async function undisturbed(input: EncoderInput, plan?: Plan) {
  await using encoder = await Encoder.load(golden('t5-tiny-v11'), { plan })
  return (await encoder.encode(input)).embeddings
}

async function expectError(promise: Promise<unknown>, code: ErrorCode, ...parts: string[]): Promise<void> {
  const error = await rejection(promise)
  expect(error).toBeInstanceOf(SkrrError)
  expect(error).toMatchObject({ code })
  for (const part of parts) expect(error.message).toContain(part)
}

/** A copy of a golden model that may be damaged. */
async function copyOf(model: string): Promise<string> {
  const folder = join(await temporaryFolder(), 'model')
  await cp(golden(model), folder, { recursive: true })
  return folder
}

/** Overwrites one float32 of a tensor. */
async function poke(folder: string, name: string, index: number, value: number): Promise<string> {
  const { file, offset } = namedTensors(await openCheckpoint(folder)).get(name)!
  const handle = await open(file, 'r+')
  await handle.write(new Uint8Array(Float32Array.of(value).buffer), 0, 4, offset + 4 * index)
  await handle.close()
  return file
}

describe('weights that are not numbers', () => {
  const Q = 'encoder.block.3.layer.0.SelfAttention.q.weight'
  const WO = 'encoder.block.3.layer.1.DenseReluDense.wo.weight'

  it.each([
    ['NaN', Q, NaN],
    ['infinity', WO, -Infinity],
    ['NaN in a norm', 'encoder.block.0.layer.0.layer_norm.weight', NaN],
    ['NaN in the final norm', 'encoder.final_layer_norm.weight', NaN],
  ])('%s: the error names the file and the tensor', async (_, name, value) => {
    const model = await copyOf('t5-tiny-v11')
    const file = await poke(model, name, 17, value)
    const load = Encoder.load(model)
    await expectError(load, 'ERR_CHECKPOINT', file, name, 'found a weight that is NaN or infinite')
    expect(await rejection(Encoder.load(model))).toBeInstanceOf(CheckpointError)
  })

  it('do no harm where the plan does not use them, and none to what is loaded', async () => {
    const model = await copyOf('t5-tiny-v11')
    await poke(model, Q, 17, NaN)
    await using encoder = await Encoder.load(model, { plan: Plan.skip(6, [6]) })
    const before = await encoder.encode(GOOD)
    const { weights } = encoder.memory
    await expectError(encoder.setPlan('dense'), 'ERR_CHECKPOINT', Q)
    expect(encoder.memory.weights).toBe(weights)
    expect(encoder.plan.skipped()).toEqual([6])
    expect((await encoder.encode(GOOD)).embeddings).toEqual(before.embeddings)
  })

  it('in a row of the embedding are met when the row is used', async () => {
    const model = await copyOf('t5-tiny-v11')
    const file = await poke(model, 'shared.weight', 64 * 9 + 3, NaN)
    await using encoder = await Encoder.load(model)
    await expectError(
      encoder.encode(ids(5, 9, 1)),
      'ERR_CHECKPOINT',
      file,
      'shared.weight',
      'NaN or infinite',
    )
    expect((await encoder.encode(GOOD)).embeddings).toEqual(await undisturbed(GOOD))
  })

  it('or that overflow on the way give no embeddings', async () => {
    const model = await copyOf('t5-tiny-v11')
    await poke(model, 'encoder.final_layer_norm.weight', 0, 3e38)
    await poke(model, 'shared.weight', 64 * 5, 1e30)
    await using encoder = await Encoder.load(model)
    await expectError(encoder.encode(GOOD), 'ERR_ENGINE', 'NaN or infinite')
  })
})

describe('a file that shrinks', () => {
  const shrink = async (model: string, name: string): Promise<void> => {
    const { file, offset } = namedTensors(await openCheckpoint(model)).get(name)!
    await truncate(file, offset)
  }

  it('before it is opened is refused by its header', async () => {
    const model = await copyOf('t5-tiny-v11')
    await shrink(model, 'shared.weight')
    await expectError(Encoder.load(model), 'ERR_CHECKPOINT', 'model.safetensors')
  })

  it('between the check of its header and its mapping is an error', async () => {
    const model = await copyOf('t5-tiny-v10/bf16-sharded')
    const checkpoint = await openCheckpoint(model)
    const { file } = namedTensors(checkpoint).get('shared.weight')!
    await shrink(model, 'shared.weight')
    const job = runJob([], (cancel) => native().open(nativeSpec(checkpoint), { threads: 1 }, cancel))
    await expectError(job, 'ERR_CHECKPOINT', file, 'shared.weight', 'found a file that is', 'expected')
  })

  it('while it is open is an error where its end is used, not the end of the process', async () => {
    const model = await copyOf('t5-tiny-v11')
    await using encoder = await Encoder.load(model, { plan: Plan.skip(6, [11]) })
    await truncate(join(model, 'model.safetensors'), 20_000)
    await expectError(encoder.setPlan('dense'), 'ERR_CHECKPOINT', 'model.safetensors', 'found a file that is')
    await expectError(
      encoder.encode(GOOD),
      'ERR_CHECKPOINT',
      'shared.weight',
      'found a file that is 20000 bytes',
    )
    const inputsEmbeds = { data: new Float32Array(64).fill(0.5), shape: [1, 1, 64] }
    const { embeddings } = await encoder.encode({ inputsEmbeds })
    expect(embeddings).toEqual(await undisturbed({ inputsEmbeds }, Plan.skip(6, [11])))
  })
})

describe('the plan beside an exported checkpoint', () => {
  it('of another model is refused by its name', async () => {
    const model = await copyOf('t5-tiny-v11')
    const plan = join(model, 'skrr-plan.json')
    await writePlan(plan, Plan.dense(5))
    await expectError(Encoder.load(model), 'ERR_PLAN', plan)
  })
})

describe('a tokenizer', () => {
  it('that is not there is asked for when prompts come', async () => {
    await using encoder = await Encoder.load(golden('t5-tiny-v11'))
    await expectError(
      encoder.encode('a cat'),
      'ERR_TOKENIZER',
      'no tokenizer.json, spiece.model or tokenizer.model',
      '--tokenizer',
    )
  })

  it('of a larger vocabulary than the embedding has rows is refused when prompts come; ids are none of its business', async () => {
    await using encoder = await Encoder.load(golden('t5-tiny-v11'), {
      tokenizer: join(DATA, 'tokenizers/t5'),
    })
    const refused = ['ERR_TOKENIZER', 'tokenizer.json', 'found 32100 ids', 'expected at most 256'] as const
    await expectError(encoder.encode('a cat'), ...refused)
    expect(await rejection(encoder.encode('a cat'))).toBeInstanceOf(TokenizerError)
    expect((await encoder.encode(GOOD)).embeddings).toEqual(await undisturbed(GOOD))
  })
})

describe('prompts', () => {
  let encoder: Encoder
  const folder = keptFolder()
  beforeAll(async () => {
    encoder = await Encoder.load(await promptModel(join(folder(), 'model')))
  })
  afterAll(() => encoder.dispose())

  it('none at all are an error', async () => {
    await expectError(encoder.encode([]), 'ERR_INPUT', 'prompts: found none, expected at least one')
  })

  it('an empty one is its eos token', async () => {
    const { shape, attentionMask } = await encoder.encode(['', 'a cat'])
    expect(shape[0]).toBe(2)
    expect([...attentionMask.slice(0, shape[1])].filter((m) => m === 1)).toHaveLength(1)
  })

  it('a megabyte is cut, and it is reported', async () => {
    const { shape, truncated } = await encoder.encode(['a cat', 'cat '.repeat(1 << 18), 'x'.repeat(1 << 20)])
    expect(truncated).toEqual([false, true, true])
    expect(shape).toEqual([3, 512, 16])
  })

  it('halves of surrogate pairs count as unknown characters', async () => {
    const a = await encoder.encode(['a \ud800 cat', '\udfff'])
    const b = await encoder.encode(['a \ufffd cat', '\ufffd'])
    expect(a.embeddings).toEqual(b.embeddings)
  })

  it('too many for one call are an error', async () => {
    const prompts = Array<string>(70).fill('a')
    const call = encoder.encode(prompts, { pipeline: 'flux', maxTokens: 65_536 })
    await expectError(call, 'ERR_INPUT', 'found 70 x 65536 tokens, expected at most 4194304 in one call')
  })

  it.each<[string, unknown, string]>([
    ['null', null, 'input: found null'],
    ['a number', 5, 'input: found 5'],
    ['nothing', undefined, 'input: found nothing'],
    ['an object of another form', { prompts: ['a'] }, 'input: found an object'],
    ['a number among them', ['a', 5], 'prompts[1]: found 5, expected a string'],
    ['a hole among them', ['a', null], 'prompts[1]: found null, expected a string'],
  ])('%s is an error', async (_, input, message) => {
    await expectError(encoder.encode(input as string), 'ERR_INPUT', message)
  })

  it.each<[string, unknown, string]>([
    ['no object', 5, 'options: found 5, expected an object'],
    ['an unknown pipeline', { pipeline: 'flux2' }, 'pipeline: found "flux2", expected none, flux, sd3'],
    ['a pipeline that every object has', { pipeline: 'constructor' }, 'pipeline: found "constructor"'],
    ['an unknown output', { output: 'F32' }, 'output: found "F32", expected f32, bf16 or f16'],
    ['an unknown treatment of masks', { masked: true }, 'masked: found true, expected compute or zero'],
    ['no token at all', { maxTokens: 0 }, 'maxTokens: found 0, expected a whole number of 1 to 65536'],
    ['half a token', { maxTokens: 1.5 }, 'maxTokens: found 1.5'],
    ['tokens without end', { maxTokens: 1e9 }, 'maxTokens: found 1000000000'],
    ['a misspelt option', { pipline: 'flux' }, 'options: found unknown "pipline", expected only pipeline'],
    ['a signal that is none', { signal: 5 }, 'signal: found 5, expected an AbortSignal'],
  ])('with options of %s are an error', async (_, options, message) => {
    await expectError(encoder.encode('a cat', options as object), 'ERR_INPUT', message)
  })
})

describe('ids and embeddings', () => {
  let encoder: Encoder
  beforeAll(async () => void (encoder = await Encoder.load(golden('t5-tiny-v11'))))
  afterAll(() => encoder.dispose())

  it.each<[string, unknown, string]>([
    ['an id past the vocabulary', ids(5, 256), 'inputIds[0, 1]: found id 256, expected 0 to 255'],
    ['a negative id', ids(-1), 'inputIds[0, 0]: found id -1'],
    ['no rows', { inputIds: { data: new Int32Array(0), shape: [0, 3] } }, 'inputIds: found shape [0, 3]'],
    [
      'no shape',
      { inputIds: { data: new Int32Array(3) } },
      'inputIds.shape: found nothing, expected an array',
    ],
    ['a bare array', { inputIds: Int32Array.of(1) }, 'inputIds.data: found nothing, expected an Int32Array'],
    [
      'a plain array of numbers',
      { inputIds: { data: [1, 2], shape: [1, 2] } },
      'inputIds.data: found an array of 2, expected an Int32Array',
    ],
    [
      'a shape that lies',
      { inputIds: { data: Int32Array.of(1, 2), shape: [2, 2] } },
      'inputIds: found 2 numbers in shape [2, 2], expected 4',
    ],
    ['a shape of NaN', { inputIds: { data: Int32Array.of(1), shape: [1, NaN] } }, 'inputIds.shape[1]'],
    [
      'a mask of another size',
      { ...GOOD, attentionMask: Int32Array.of(1) },
      'attentionMask: found 1 entries, expected 3',
    ],
    ['a mask of weights', { ...GOOD, attentionMask: Int32Array.of(1, 2, 1) }, 'attentionMask[0, 1]: found 2'],
    [
      'a mask under another name',
      { ...GOOD, attention_mask: Int32Array.of(1, 1, 1) },
      'input: found unknown "attention_mask", expected only inputIds, attentionMask',
    ],
    [
      'rows of another width',
      { inputsEmbeds: { data: new Float32Array(32), shape: [1, 1, 32] } },
      'inputsEmbeds: found width 32, expected 64, the width of the model',
    ],
    [
      'NaN',
      { inputsEmbeds: { data: new Float32Array(128).fill(NaN, 70, 71), shape: [1, 2, 64] } },
      'inputsEmbeds[0, 1, 6]: found NaN, expected a finite number',
    ],
    [
      'infinity',
      { inputsEmbeds: { data: new Float32Array(64).fill(-Infinity), shape: [1, 1, 64] } },
      'inputsEmbeds[0, 0, 0]: found -Infinity',
    ],
  ])('with %s are an error', async (_, input, message) => {
    await expectError(encoder.encode(input as string), 'ERR_INPUT', message)
    expect(await rejection(encoder.encode(input as string))).toBeInstanceOf(InputError)
  })

  it('of an array that was given away are an error', async () => {
    const data = Int32Array.of(5, 6, 1)
    structuredClone(data.buffer, { transfer: [data.buffer] })
    const call = encoder.encode({ inputIds: { data, shape: [1, 3] } })
    await expectError(call, 'ERR_INPUT', 'inputIds: found 0 numbers in shape [1, 3]')
  })
})

describe('options of a load', () => {
  it.each<[string, unknown, string]>([
    ['no object', 'bf16', 'options: found "bf16", expected an object'],
    [
      'a negative number of threads',
      { threads: -1 },
      'threads: found -1, expected a whole number of 1 to 1024',
    ],
    ['a billion threads', { threads: 1e9 }, 'threads: found 1000000000'],
    ['threads that are no number', { threads: NaN }, 'threads: found NaN'],
    [
      'an unknown precision',
      { precision: 'int3' },
      'precision: found "int3", expected f32, bf16, int8 or int4',
    ],
    ['an unknown device', { device: 'tpu' }, 'device: found "tpu", expected auto, cpu, cuda or cuda:N'],
    [
      'a plan of another form',
      { plan: [0, 1] },
      'plan: found an array of 2, expected a Plan, a plan file or',
    ],
    ['a misspelt option', { precison: 'f32' }, 'options: found unknown "precison", expected only plan'],
    ['progress that cannot be called', { onProgress: true }, 'onProgress: found true, expected a function'],
  ])('%s are an error', async (_, options, message) => {
    await expectError(Encoder.load(golden('t5-tiny-v11'), options as object), 'ERR_INPUT', message)
    await expectError(Encoder.estimate(golden('t5-tiny-v11'), options as object), 'ERR_INPUT', message)
  })

  it('a path that is none is an error', async () => {
    await expectError(Encoder.load(5 as unknown as string), 'ERR_INPUT', 'path: found 5, expected a string')
    await expectError(Encoder.load(''), 'ERR_CHECKPOINT', 'there is no such file')
    await expectError(Encoder.load('a\0b'), 'ERR_CHECKPOINT')
  })

  it('an estimate for no tokens, or for all there are, is an error', async () => {
    for (const tokens of [0, 2 ** 40, NaN]) {
      await expectError(Encoder.estimate(golden('t5-tiny-v11'), { tokens }), 'ERR_INPUT', 'tokens: found')
    }
  })
})

describe('a precision a device does not have', () => {
  it.each(['f32', 'int8', 'int4'] as const)(
    '%s on cuda is refused before the device is looked for',
    async (precision) => {
      const load = Encoder.load(golden('t5-tiny-v11'), { device: 'cuda', precision })
      await expectError(
        load,
        'ERR_INPUT',
        `precision: found "${precision}", expected bf16 on device cuda`,
        "'cpu'",
      )
    },
  )
})

describe('a plan', () => {
  it.each<[string, Plan | string, string]>([
    ['of another depth', Plan.dense(5), 'table: found 10 entries, expected 12'],
    ['of another model', new Plan(Plan.dense(6).table, { fingerprint: 't5-6x512' }), 'geometry.fingerprint'],
    ['published for T5-XXL', 'pixart-sigma-41.9', 'found a model of 6 blocks'],
    ['that is not there', 'no-such-plan.json', 'neither a file nor a preset'],
  ])('%s is refused by load and by setPlan', async (_, plan, message) => {
    await expectError(Encoder.load(golden('t5-tiny-v11'), { plan }), 'ERR_PLAN', message)
    await using encoder = await Encoder.load(golden('t5-tiny-v11'))
    await expectError(encoder.setPlan(plan), 'ERR_PLAN', message)
    expect((await encoder.encode(GOOD)).embeddings).toEqual(await undisturbed(GOOD))
  })

  it('with a source of the wrong kind cannot be made, nor read', () => {
    const attempt = (): Plan => new Plan(Plan.dense(6).table.with(2, 7))
    expect(attempt).toThrow(PlanError)
    expect(attempt).toThrow(/table\[2\]: found 7, a feed-forward, expected an attention/)
  })
})
