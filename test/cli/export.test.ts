import { readdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { Plan, Encoder, openCheckpoint, type EncoderInput } from '../../src/index.js'
import { namedTensors, promptModel, temporaryFolder } from '../checkpoint/helpers.js'
import { golden } from '../golden.js'
import { skrr, skrrJson } from './run.js'

/** `skrr export`: a checkpoint of what a plan uses, for us or for any software. */

const V11 = golden('t5-tiny-v11')
const input: EncoderInput = { inputIds: { data: Int32Array.of(5, 99, 200, 1), shape: [1, 4] } }
const plan = Plan.skip(6, [2, 5, 8], { 5: 7 })

async function setUp(): Promise<{ planFile: string; out: string }> {
  const folder = await temporaryFolder()
  const planFile = join(folder, 'plan.json')
  await writeFile(planFile, plan.stringify())
  return { planFile, out: join(folder, 'out') }
}

async function embed(model: string, as?: Plan): Promise<Float32Array | Uint16Array> {
  await using encoder = await Encoder.load(model, { plan: as })
  return (await encoder.encode(input)).embeddings
}

describe('skrr export', () => {
  it('writes the planned weights with their plan; it loads back and gives the same embeddings', async () => {
    const { planFile, out } = await setUp()
    const report = await skrrJson(['export', '--model', V11, '--plan', planFile, '--out', out])
    const { architecture } = await openCheckpoint(V11)
    const sparsity = plan.sparsity(architecture)
    const bytes = 4 * plan.parameters(architecture)
    expect(report).toEqual({ out, bytes, sparsity, materialized: false })
    expect(await readdir(out)).toEqual(['config.json', 'model.safetensors', 'skrr-plan.json'])
    const { size } = await stat(join(out, 'model.safetensors'))
    expect(size - bytes).toBeLessThan(10_000) // its header
    expect(await embed(out)).toEqual(await embed(V11, plan))
    expect(await skrrJson(['inspect', '--model', out])).toMatchObject({ sparsity, bytes: { total: bytes } })
  })

  it('with --materialize writes an ordinary model of the same embeddings', async () => {
    const { planFile, out } = await setUp()
    const args = ['export', '--model', V11, '--plan', planFile, '--materialize', '--out', out]
    expect(await skrrJson(args)).toMatchObject({ materialized: true })
    expect(await readdir(out)).toEqual(['config.json', 'model.safetensors'])
    expect(namedTensors(await openCheckpoint(out)).size).toBe(namedTensors(await openCheckpoint(V11)).size)
    expect(await embed(out)).toEqual(await embed(V11, plan))
  })

  it('with --precision writes weights as they are held, which loads back in it', async () => {
    const { planFile, out } = await setUp()
    const args = ['export', '--model', V11, '--plan', planFile, '--precision', 'int8', '--out', out]
    const report = await skrrJson<{ bytes: number }>(args)
    expect(report).toMatchObject({ out, precision: 'int8', materialized: false })
    expect(await readdir(out)).toEqual(['config.json', 'model.safetensors', 'skrr-plan.json'])
    const inspected = await skrrJson(['inspect', '--model', out])
    expect(inspected).toMatchObject({
      dtypes: ['BF16', 'F32', 'int8'],
      bytes: { total: report.bytes },
      memory: { precision: 'int8' },
    })
    const both = await skrr([...args, '--materialize'])
    expect(both.stderr).toContain("'--precision <name>' cannot be used with option '--materialize'")
  })

  it('takes a preset, brings the tokenizer along, and reports to people', async () => {
    const folder = await temporaryFolder()
    const model = await promptModel(join(folder, 'model'), { blocks: 24 })
    const out = join(folder, 'out')
    const { code, stdout, stderr } = await skrr([
      ...['export', '--model', model, '--plan', 'pixart-sigma-41.9', '--out', out],
    ])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^written +.*out, [\d.]+ [kM]B of weights$/m)
    expect(stdout).toMatch(/^sparsity +[\d.]+ %$/m)
    expect(await readdir(out)).toContain('tokenizer.json')
    await using encoder = await Encoder.load(out)
    expect(encoder.plan.provenance).toMatchObject({ preset: 'pixart-sigma-41.9' })
    await using original = await Encoder.load(model, { plan: 'pixart-sigma-41.9' })
    expect(await encoder.encode('a cat')).toEqual(await original.encode('a cat'))
  })

  it('of what an export left out is refused', async () => {
    const { planFile, out } = await setUp()
    await skrrJson(['export', '--model', V11, '--plan', planFile, '--out', out])
    const { code, stderr } = await skrr(['export', '--model', out, '--plan', 'dense', '--out', `${out}-2`])
    expect(code).toBe(1)
    expect(stderr).toContain(
      'sub-block 2: found no weights: the checkpoint was exported under a plan without it',
    )
  })
})
