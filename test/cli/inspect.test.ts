import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import {
  denseParameters,
  exportCheckpoint,
  exportPacked,
  openCheckpoint,
  Plan,
  Encoder,
  type Architecture,
  type Precision,
} from '../../src/index.js'
import { writeSafetensors } from '../../src/export/write.js'
import { promptModel, temporaryFolder } from '../checkpoint/helpers.js'
import { golden } from '../golden.js'
import { skrr, skrrJson } from './run.js'

/** `skrr inspect`: what a model is and what a plan makes of it, from its headers alone. */

interface Summary {
  model: string
  fingerprint: string
  architecture: Architecture
  dtypes: string[]
  tokenizer: string | null
  parameters: { dense: number; planned: number }
  sparsity: number
  bytes: { attention: number; feedForward: number; embedding: number; other: number; total: number }
  memory: { precision: string; weights: number; embedding: number; workspace: number; total: number }
  plan: { format: string; version: number; table: (number | null)[] }
}

const V11 = golden('t5-tiny-v11')

describe('skrr inspect --json', () => {
  it('shows architecture, parameters, bytes by kind and memory', async () => {
    const { architecture } = await openCheckpoint(V11)
    const summary = await skrrJson<Summary>(['inspect', '--model', V11])
    expect(summary).toMatchObject({
      model: V11,
      architecture,
      dtypes: ['F32'],
      tokenizer: null,
      parameters: { dense: denseParameters(architecture), planned: denseParameters(architecture) },
      sparsity: 0,
      plan: { format: 'skrr-plan', version: 1, table: Plan.dense(6).table },
    })
    const { attention, feedForward, embedding, other, total } = summary.bytes
    expect(attention + feedForward + embedding + other).toBe(total)
    expect(total).toBe(4 * denseParameters(architecture))
    expect(summary.memory).toMatchObject({ precision: 'f32', ...(await Encoder.estimate(V11)) })
  })

  it('under a plan counts what the plan loads', async () => {
    const file = join(await temporaryFolder(), 'plan.json')
    const plan = Plan.skip(6, [2, 5, 8], { 5: 7 })
    await writeFile(file, plan.stringify())
    const dense = await skrrJson<Summary>(['inspect', '--model', V11])
    const planned = await skrrJson<Summary>(['inspect', '--model', V11, '--plan', file])
    expect(planned.sparsity).toBe(plan.sparsity(planned.architecture))
    expect(planned.parameters.planned).toBe(plan.parameters(planned.architecture))
    expect(planned.bytes.total / dense.bytes.total).toBeCloseTo(1 - planned.sparsity, 12)
    expect(planned.bytes.attention).toBe((dense.bytes.attention * 4) / 6)
    expect(planned.bytes.feedForward).toBe((dense.bytes.feedForward * 5) / 6)
    expect(planned.memory.weights).toBeLessThan(dense.memory.weights)
    expect(Plan.parse(planned.plan).equals(plan)).toBe(true)
  })

  it('for the states that are wanted counts the blocks that they need', async () => {
    const whole = await skrrJson<Summary>(['inspect', '--model', V11])
    const args = ['inspect', '--model', V11, '--states', '1,3:normed']
    const cut = await skrrJson<Summary & { depth: number }>(args)
    expect(cut.depth).toBe(3)
    expect(cut.bytes.attention).toBe(whole.bytes.attention / 2)
    const outputs = { states: [{ after: 3 }] }
    expect(cut.memory).toMatchObject(await Encoder.estimate(V11, { outputs }))
    expect((await skrr(args)).stdout).toMatch(/truncation +exact: 3 of 6 blocks run, \d+\.\d %/)
  })

  it('in another precision counts what that would hold', async () => {
    const [f32, int8] = await Promise.all(
      ['f32', 'int8'].map((p) => skrrJson<Summary>(['inspect', '--model', V11, '--precision', p])),
    )
    expect(int8!.memory).toMatchObject(await Encoder.estimate(V11, { precision: 'int8' }))
    expect(int8!.memory.precision).toBe('int8')
    expect(int8!.memory.weights).toBeLessThan(0.4 * f32!.memory.weights)
    expect(int8!.bytes).toEqual(f32!.bytes)
  })

  it('of packed weights names the precision they run in, whatever the plan leaves open', async () => {
    const folder = await temporaryFolder()
    const [out, file] = [join(folder, 'out'), join(folder, 'ids.safetensors')]
    const dense = Plan.dense(6)
    const named = (precision: (s: number) => Precision) =>
      dense.with({ precisions: dense.table.map((_, s) => precision(s)) })
    const packed = named(() => 'int8')
    await exportPacked(await openCheckpoint(V11), packed, out, { precision: 'bf16' })
    const args = ['--model', out, '--plan', 'dense']
    const summary = await skrrJson<Summary>(['inspect', ...args])
    expect(summary.memory.precision).toBe('int8')
    expect(Plan.parse(summary.plan).equals(packed)).toBe(true)
    expect((await skrr(['inspect', ...args])).stdout).toMatch(/^int8 +0 +1 +2/m)
    const data = new Uint8Array(Int32Array.of(5, 1).buffer)
    await writeSafetensors(file, [{ name: 'input_ids', dtype: 'I32', shape: [1, 2], data }])
    const encode = ['encode', '--input-ids', file, '--out', join(folder, 'o.safetensors')]
    expect(await skrrJson([...encode, ...args])).toMatchObject({ precision: 'int8' })
    const mixed = join(folder, 'plan.json')
    await writeFile(mixed, named((s) => (s === 0 ? 'bf16' : 'int8')).stringify())
    expect(await skrrJson([...encode, '--model', V11, '--plan', mixed])).toMatchObject({
      precision: 'bf16 and int8',
    })
    await using encoder = await Encoder.load(out, { plan: dense })
    expect(encoder.toJSON()).toMatchObject({ precision: 'int8', plan: '6 blocks, int8 weights' })
    await encoder.setPlan(Plan.skip(6, [2]))
    expect(encoder.toJSON()).toMatchObject({ plan: '6 blocks, 1 skipped, int8 weights' })
  })

  it('of a compensation says what it adds, and no sparsity below 0', async () => {
    const folder = await temporaryFolder()
    const out = join(folder, 'out')
    const checkpoint = await openCheckpoint(V11)
    const factor = () => new Float32Array(8 * 64).fill(0.01)
    const compensation = { rank: 8, down: factor(), up: factor() }
    const plan = Plan.skip(6, [2]).with({ compensation })
    await exportCheckpoint(checkpoint, plan, out, { materialize: true })
    expect(await skrrJson(['inspect', '--model', out])).toMatchObject({
      sparsity: 0,
      compensation: { rank: 8, parameters: 1024, bytes: 4096, share: 1024 / 299_968 },
    })
    const { stdout } = await skrr(['inspect', '--model', out])
    expect(stdout).toMatch(/^sparsity +0\.0 %$/m)
    expect(stdout).toMatch(
      /^compensation +rank 8 adds 1,024 parameters \(0\.3 % of the dense encoder's\), 4\.10 kB$/m,
    )
  })

  it('shows the other families, and where the tokenizer is', async () => {
    const umt5 = await skrrJson<Summary>(['inspect', '--model', golden('umt5-tiny', 'bf16')])
    expect(umt5).toMatchObject({ architecture: { family: 'umt5' }, dtypes: ['BF16'] })
    expect(umt5.memory.precision).toBe('bf16')
    const model = await promptModel(join(await temporaryFolder(), 'model'))
    expect((await skrrJson<Summary>(['inspect', '--model', model])).tokenizer).toBe(
      join(model, 'tokenizer.json'),
    )
  })
})

describe('skrr inspect', () => {
  it('is a page for people, with the plan as a strip', async () => {
    const file = join(await temporaryFolder(), 'plan.json')
    await writeFile(file, Plan.skip(6, [4, 7], { 7: 5 }).stringify())
    const { code, stdout, stderr } = await skrr(['inspect', '--model', V11, '--plan', file])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^architecture +t5: 6 blocks, width 64, 4 heads x 16, ff 160 gated gelu_tanh$/m)
    expect(stdout).toMatch(/^parameters +[\d,]+ of 299,968$/m)
    expect(stdout).toMatch(/^sparsity +[\d.]+ %$/m)
    expect(stdout).toMatch(/^on disk +.*attention .* feed-forward .* embedding .* other/m)
    expect(stdout).toMatch(/^in memory +.*weights .* embedding .* workspace .* tokenizer 0 B$/m)
    expect(stdout).toMatch(/^block +0 +1 +2 +3 +4 +5$/m)
    expect(stdout).not.toContain('\u001b[')
  })

  it.each([
    [golden('t5-tiny-v11-plans', 'expected.safetensors'), 'expected a T5-family encoder'],
    [golden('projections', 'flux.safetensors'), 'expected a T5-family encoder'],
  ])('of a .safetensors that is no encoder says what it looks like: %s', async (file, what) => {
    const { code, stderr } = await skrr(['inspect', '--model', file])
    expect(code).toBe(1)
    expect(stderr).toContain(`error: ${file}: `)
    expect(stderr).toContain(what)
  })

  it('of a BERT says so', async () => {
    const file = join(await temporaryFolder(), 'bert.safetensors')
    const name = 'embeddings.word_embeddings.weight'
    await writeSafetensors(file, [{ name, dtype: 'F32', shape: [1, 1], data: new Uint8Array(4) }])
    const { code, stderr } = await skrr(['inspect', '--model', file])
    expect(code).toBe(1)
    expect(stderr).toContain('found what looks like a BERT-like encoder')
  })
})
