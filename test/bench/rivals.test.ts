import { describe, expect, it } from 'vitest'
import { encoderGraph, type OnnxPrecision } from '../../bench/rivals/onnx.js'
import { renderings } from '../../bench/rivals/render.js'
import type { Results, Row } from '../../bench/rivals/results.js'
import { bucketOf, SIZES, SLICE } from '../../bench/rivals/slice.js'

describe("the rivals' graph", () => {
  const graphOf = (precision: OnnxPrecision) => encoderGraph(SLICE, precision, { batch: 1, tokens: 5 }).graph
  const counted = (precision: OnnxPrecision, op: string): number =>
    graphOf(precision).nodes.filter(({ opType }) => opType === op).length

  it.each(['f32', 'int8', 'int4'] as const)(
    'in %s computes nothing from what is not there yet',
    (precision) => {
      const { nodes, initializers } = graphOf(precision)
      const there = new Set(['', 'input_ids', ...initializers.map(({ name }) => name)])
      for (const { input, output } of nodes) {
        expect(input.filter((name) => !there.has(name))).toEqual([])
        for (const name of output) there.add(name)
      }
    },
  )

  it('has seven products a block, and quantises what several of them read once', () => {
    expect(counted('f32', 'MatMul')).toBe(7 * SIZES.blocks)
    expect(counted('int4', 'MatMulNBits')).toBe(7 * SIZES.blocks)
    expect(counted('int8', 'MatMulInteger')).toBe(7 * SIZES.blocks)
    expect(counted('int8', 'DynamicQuantizeLinear')).toBe(4 * SIZES.blocks)
  })

  it("has T5's buckets", () => {
    const distances = [0, -1, 1, -7, 7, -8, 8, -16, -127, -500, 500]
    expect(distances.map((distance) => bucketOf(distance, SIZES))).toEqual([
      0, 1, 17, 7, 23, 8, 24, 10, 15, 15, 31,
    ])
  })
})

describe("the rivals' page", () => {
  const row = (software: Row['software'], ms: number): Row => ({
    ...{ software, precision: 'bf16', bits: 16, ms: [ms], disturbed: 0, peak: 2 ** 30, error: 0.002 },
  })
  const results: Results = {
    ...{
      machine: 'two cores',
      node: 'v20',
      threads: 2,
      versions: { skrr: '1' },
      notes: ['Of one run alone.'],
    },
    sizes: { '1x77': { date: '2026-11-29', commit: 'abc', rows: [row('skrr', 50), row('PyTorch', 75)] } },
  }

  it('shows who was measured, and no one else', () => {
    const { md, svg } = renderings(results, 'run')
    expect(md).toMatch(/^\| PyTorch bf16 \| 16 \| 75\.0 .* 1\.50 /m)
    expect(md).toMatch(/^\| bf16 is 2 times faster than PyTorch bf16 .* 1\.50 \*\*no\*\* /m)
    expect(md).toContain('\nOf one run alone.\n')
    expect(`${md}${svg}`).not.toMatch(/llama|onnxruntime/)
  })
})
