import { readFileSync } from 'node:fs'
import { cp, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { keptFolder } from '../checkpoint/helpers.js'
import { golden } from '../golden.js'
import { Encoder, Plan } from '../../src/index.js'
import { decoderCases, definedRows, planResults } from '../golden-decoders.js'
import { relativeError, relativeErrorButEdges, TOLERANCE } from '../tolerance.js'
import { describeOn } from './devices.js'

// What the real classes compute, in float64: models by folder, and the weights that go with each config.json.
const MODELS: Record<string, { f32?: string; bf16: string }> = {
  'clip-l-tiny': { f32: 'clip-l-tiny', bf16: 'clip-l-tiny/bf16' },
  'clip-g-tiny': { f32: 'clip-g-tiny', bf16: 'clip-g-tiny/bf16' },
  'llama-tiny': { f32: 'llama-tiny', bf16: 'llama-tiny/bf16' },
  'llama3-tiny': { f32: 'llama-tiny', bf16: 'llama-tiny/bf16' },
  'smollm3-tiny': { f32: 'llama-tiny', bf16: 'llama-tiny/bf16' },
  'qwen3-tiny': { f32: 'qwen3-tiny', bf16: 'qwen3-tiny/bf16' },
  'qwen2_5_vl-tiny': { f32: 'qwen2_5_vl-tiny', bf16: 'qwen2_5_vl-tiny/bf16' },
  'qwen3_vl-tiny': { bf16: 'qwen3_vl-tiny/bf16' },
  'mistral-tiny': { bf16: 'mistral-tiny/bf16' },
  'mistral-sliding-tiny': { bf16: 'mistral-tiny/bf16' },
  'ministral3-tiny': { bf16: 'mistral-tiny/bf16' },
  'glm-tiny': { bf16: 'glm-tiny/bf16' },
  'gemma2-tiny': { f32: 'gemma2-tiny', bf16: 'gemma2-tiny/bf16' },
  'gemma3-tiny': { bf16: 'gemma3-tiny/bf16' },
  't5gemma-tiny': { bf16: 't5gemma-tiny/bf16' },
}

describe.each(Object.entries(MODELS))('%s', async (model, { f32, bf16 }) => {
  const cases = await decoderCases(model)
  const root = keptFolder()
  const folder = (weights: string): string => join(root(), weights.replaceAll('/', '-'))
  beforeAll(async () => {
    for (const weights of new Set([f32 ?? bf16, bf16])) {
      await mkdir(folder(weights), { recursive: true })
      await cp(golden(model, 'config.json'), join(folder(weights), 'config.json'))
      await cp(golden(weights, 'model.safetensors'), join(folder(weights), 'model.safetensors'))
    }
  })

  describeOn('cpu', 'in f32', () => {
    let encoder: Encoder
    const weights = f32 ?? bf16
    beforeAll(
      async () => void (encoder = await Encoder.load(folder(weights), { precision: 'f32', device: 'cpu' })),
    )
    afterAll(() => encoder.dispose())
    it.each(cases)('agrees with float64 on $name', async (each) => {
      const { embeddings, shape } = await encoder.encode(each.input)
      expect(shape).toEqual(each.shape)
      expect(relativeError(...definedRows(each, embeddings, each.expected))).toBeLessThan(TOLERANCE.f32)
    })
    it.each(cases.filter(({ hasUnseeing }) => hasUnseeing))(
      'gives rows that see no key what its family gives them, on $name',
      async ({ input }) => {
        const { embeddings } = await encoder.encode(input)
        expect(embeddings.every(Number.isFinite)).toBe(true)
      },
    )
  })

  for (const device of ['cpu', 'cuda'] as const) {
    describeOn(device, 'in bf16', () => {
      let encoder: Encoder
      beforeAll(async () => void (encoder = await Encoder.load(folder(bf16), { precision: 'bf16', device })))
      afterAll(() => encoder.dispose())
      it.for(cases)('is no worse than Hugging Face in bf16 on $name', async (each) => {
        const { embeddings } = await encoder.encode(each.input)
        const [found, expected] = definedRows(each, embeddings, each.expectedBf16 ?? each.expected)
        const error =
          device === 'cpu'
            ? relativeError(found, expected)
            : relativeErrorButEdges(found, expected, each.shape[2]!)
        expect(error).toBeLessThan(each.bf16Error ?? TOLERANCE.bf16Weights)
      })
    })
  }

  describe.each(['int8', 'int4'] as const)('in %s', (precision) => {
    it('is finite, and near where its rounding lets it', async () => {
      await using encoder = await Encoder.load(folder(f32 ?? bf16), { precision })
      const each = cases.at(-1)!
      const { embeddings } = await encoder.encode(each.input)
      expect(relativeError(...definedRows(each, embeddings, each.expected))).toBeLessThan(
        TOLERANCE[precision],
      )
    })
  })
})

interface Plans {
  cases: string[]
  plans: Record<string, { table: number[] }>
}

describe.each(['qwen3-tiny', 'gemma2-tiny', 'gemma3-tiny', 'smollm3-tiny'])('plans of %s', async (model) => {
  const { plans, cases: names } = JSON.parse(readFileSync(golden(model, 'plans.json'), 'utf8')) as Plans
  const cases = (await decoderCases(model)).filter(({ name }) => names.includes(name))
  const expected = await planResults(model)
  const root = keptFolder()
  let encoder: Encoder
  beforeAll(async () => {
    const { f32, bf16 } = MODELS[model]!
    await cp(golden(model, 'config.json'), join(root(), 'config.json'))
    await cp(golden(f32 ?? bf16, 'model.safetensors'), join(root(), 'model.safetensors'))
    encoder = await Encoder.load(root(), { precision: 'f32', device: 'cpu' })
  })
  afterAll(() => encoder.dispose())
  it.each(Object.entries(plans))('%s agrees with float64', async (plan, { table }) => {
    await encoder.setPlan(new Plan(table.map((source) => (source < 0 ? null : source))))
    for (const { name, input, shape } of cases) {
      const want = expected.get(`${name}.${plan}.last_hidden_state`)!
      const { embeddings } = await encoder.encode(input)
      // of the long case only the last rows are recorded
      const rows = want.length / shape[2]!
      const found = embeddings.subarray((shape[0]! * shape[1]! - rows) * shape[2]!)
      expect(relativeError(found, want)).toBeLessThan(TOLERANCE.f32)
    }
  })
})
