// What the compiler made of each kernel, for every architecture: registers, shared-memory tiles, and whether the machine
// code has the tensor-core and asynchronous-copy instructions it should, and no spills. Needs nvcc, no GPU.
//   node scripts/check-sass.mjs [--arch 80,90a] [--json]
import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs, promisify } from 'node:util'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const { values } = parseArgs({
  options: {
    arch: { type: 'string', default: '80,86,89,90,90a,100,120' },
    json: { type: 'boolean', default: false },
  },
})

/** Kernels by source, and what the machine code of each must contain. Those of Hopper are for sm_90a, the others are not. */
const SOURCES = {
  gemm: ['HMMA', 'LDSM', 'LDGSTS'],
  attention: ['HMMA', 'LDSM', 'LDGSTS'],
  heads: [],
  layer_norm: [],
  rms_norm: [],
  residual: [],
  measure: [],
  compensate: [],
  hopper_gemm: ['HGMMA', 'UTMALDG'],
}
const isFor = (source, arch) => source.startsWith('hopper') === (arch === '90a')

// The low 12 bits of an instruction's 16 bytes, sm_80 to sm_120. LDL and STL: local memory, that is, spills.
const OPCODES = {
  0x23c: 'HMMA',
  0x83b: 'LDSM',
  0xfae: 'LDGSTS',
  0x9f0: 'HGMMA',
  0x5b4: 'UTMALDG',
  0x983: 'LDL',
  0x387: 'STL',
}

/**
 * Kilobytes of shared memory a block of it is launched with, from its template's numbers as its source states them; undefined
 * where it is none to speak of. It is asked for at the launch, so no cubin has it.
 */
function sharedKilobytes(source, numbers) {
  if (source === 'gemm') {
    const [rows, columns, depth, , , stages] = numbers
    return ((rows + columns) * depth * 2 * stages) / 1024
  }
  if (source === 'attention') {
    const [head, table] = numbers
    const keys = head > 128 ? 32 : 64
    return ((64 + 4 * keys) * head * 2 + 2 * keys * 4 + table * 257 * 4) / 1024 // with 128 as the largest distance
  }
  if (source === 'hopper_gemm') return (4 * 6 * 64 * 64 * 2 + 64) / 1024
  return undefined
}

/** Instructions by name in each kernel of a cubin: an ELF file with a section .text.<kernel> for each. */
function countInstructions(cubin) {
  const at = Number(cubin.readBigUInt64LE(0x28)) // of the section headers
  const size = cubin.readUInt16LE(0x3a)
  const count = cubin.readUInt16LE(0x3c)
  const section = (i) => ({
    name: cubin.readUInt32LE(at + i * size),
    offset: Number(cubin.readBigUInt64LE(at + i * size + 0x18)),
    bytes: Number(cubin.readBigUInt64LE(at + i * size + 0x20)),
  })
  const names = section(cubin.readUInt16LE(0x3e))
  const kernels = new Map()
  for (let i = 0; i < count; i++) {
    const { name, offset, bytes } = section(i)
    const begin = names.offset + name
    const text = cubin.toString('latin1', begin, cubin.indexOf(0, begin))
    if (!text.startsWith('.text.')) continue
    const counts = {}
    for (let p = offset; p + 16 <= offset + bytes; p += 16) {
      const opcode = OPCODES[cubin.readUInt16LE(p) & 0xfff]
      if (opcode !== undefined) counts[opcode] = (counts[opcode] ?? 0) + 1
    }
    kernels.set(text.slice('.text.'.length), counts)
  }
  return kernels
}

const templateNumbers = (mangled) => [...mangled.matchAll(/L[ib](\d+)E/g)].map((match) => Number(match[1]))

/** gemm_kernel<128,256,32,...>: the name without namespaces, with its template's numbers. */
function readable(mangled) {
  const name = /\d+([a-z_]+_kernel)/.exec(mangled)?.[1].replace(/^[a-z]*?_cu_[0-9a-f]+/, '') ?? mangled
  const numbers = templateNumbers(mangled)
  return numbers.length > 0 ? `${name}<${numbers.join(',')}>` : name
}

async function compile({ source, arch }, folder) {
  const file = join(folder, `${source}.${arch}.cubin`)
  const { stderr } = await promisify(execFile)('nvcc', [
    '-std=c++17',
    '-O3',
    `-I${root}`,
    `-gencode=arch=compute_${arch},code=sm_${arch}`,
    '-Xptxas=-v',
    '-cubin',
    join(root, 'cuda', `${source}.cu`),
    '-o',
    file,
  ])
  const registers = new Map(
    [...stderr.matchAll(/Compiling entry function '(\S+)'[\s\S]*?Used (\d+) registers/g)].map(
      ([, name, used]) => [name, Number(used)],
    ),
  )
  return [...countInstructions(readFileSync(file))].map(([name, counts]) => ({
    kernel: readable(name),
    arch,
    registers: registers.get(name),
    sharedKB: sharedKilobytes(source, templateNumbers(name))?.toFixed(1),
    ...Object.fromEntries(Object.values(OPCODES).map((opcode) => [opcode, counts[opcode] ?? 0])),
    missing: SOURCES[source].filter((opcode) => !counts[opcode]),
    spills: (counts.LDL ?? 0) + (counts.STL ?? 0) > 0,
  }))
}

/** What `work` makes of each, as many at a time as there are processors. */
async function inParallel(all, work) {
  const results = []
  const entries = all.entries()
  const worker = async () => {
    for (const [i, one] of entries) results[i] = await work(one)
  }
  await Promise.all(Array.from({ length: availableParallelism() }, worker))
  return results.flat()
}

const folder = mkdtempSync(join(tmpdir(), 'skrr-sass-'))
try {
  const kernels = values.arch.split(',').flatMap((arch) =>
    Object.keys(SOURCES)
      .filter((source) => isFor(source, arch))
      .map((source) => ({ source, arch })),
  )
  const rows = await inParallel(kernels, (kernel) => compile(kernel, folder))
  const wrong = rows.filter(({ missing, spills }) => missing.length > 0 || spills)
  if (values.json) {
    console.log(JSON.stringify({ kernels: rows, ok: wrong.length === 0 }))
  } else {
    console.log(
      'Checked in the machine code of each kernel: the tensor-core and asynchronous-copy instructions its source must lead to\n' +
        '(HMMA, LDSM, LDGSTS; on sm_90a HGMMA, UTMALDG) are there; nothing is spilled to local memory (LDL, STL).\n' +
        'Shown and not checked: registers, and shared memory per block, which the source states.',
    )
    console.table(
      rows.map(({ missing, spills, ...row }) => ({
        ...row,
        verdict: spills ? 'spills' : missing.length > 0 ? `no ${missing}` : 'ok',
      })),
    )
  }
  process.exitCode = wrong.length === 0 ? 0 : 1
} finally {
  rmSync(folder, { recursive: true })
}
