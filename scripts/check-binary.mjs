// What is shipped, as readelf sees it: the C++ runtime inside, hardened, no path of this machine, nothing exported but entry points.
// Takes files; default: those in prebuilds/ for this platform. Needs readelf (binutils, which g++ needs too).
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const prebuilt = join(root, 'prebuilds', `${process.platform}-${process.arch}`)
const given = process.argv.slice(2)
const files = given.length > 0 ? given : ['skrr.node', 'skrr_cuda.so'].map((name) => join(prebuilt, name))

/** Of exports.map. */
const ENTRIES =
  /^(napi_register_module_v1|node_api_module_get_api_version_v1|skrr_cuda_interface|skrr_cuda_device)$/

const readelf = (file, ...options) =>
  execFileSync('readelf', ['--wide', ...options, file], { encoding: 'utf8', maxBuffer: 1 << 26 })

function check(file) {
  const dynamic = readelf(file, '--dynamic')
  const needed = [...dynamic.matchAll(/NEEDED.*\[(.+)\]/g)].map(([, name]) => name)
  assert.ok(!needed.some((name) => /stdc\+\+/.test(name)), `needs ${needed.join(', ')}`)
  assert.match(dynamic, /BIND_NOW|FLAGS_1.*\bNOW\b/, 'is bound late')
  assert.doesNotMatch(dynamic, /TEXTREL|RPATH|RUNPATH/, 'has relocations of code, or a path of its own')

  const versions = new Set(readelf(file, '--version-info').match(/\b(GLIBCXX|CXXABI|GLIBC)_[\d.]+/g))
  const foreign = [...versions].filter((version) => !version.startsWith('GLIBC_'))
  assert.deepEqual(foreign, [], 'needs symbols of a C++ runtime')

  const segments = readelf(file, '--program-headers')
  assert.match(segments, /GNU_RELRO/, 'has no read-only relocations')
  assert.match(segments, /GNU_STACK +(\S+ +){5}RW +/, 'has an executable stack')

  const symbols = readelf(file, '--dyn-syms')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
  const exported = symbols.filter(
    ([, , , type, , , section]) => type !== 'SECTION' && /^\d+$/.test(section ?? ''),
  )
  const strays = exported.map((symbol) => symbol[7]).filter((name) => !ENTRIES.test(name))
  assert.deepEqual(strays, [], 'exports more than its entry points')
  const guarded = symbols.some(([, , , , , , , name]) => name?.startsWith('__stack_chk_fail'))
  assert.ok(guarded, 'checks no stacks')

  const text = readFileSync(file, 'latin1')
  const paths = [root, homedir(), '/home/'].filter((path) => path.length > 1 && text.includes(path))
  assert.deepEqual(paths, [], 'holds paths of the machine it was built on')
  return [...versions]
    .map((version) => version.slice(6))
    .sort(byNumber)
    .at(-1)
}

const byNumber = (a, b) => a.localeCompare(b, 'en', { numeric: true })

for (const file of files) {
  if (given.length === 0 && file.endsWith('skrr_cuda.so') && !existsSync(file)) continue // a build without nvcc
  try {
    console.log(`${relative(root, file)}: hardened, no C++ runtime needed, glibc ${check(file)} and newer`)
  } catch (error) {
    console.error(`${relative(root, file)} ${error.message}`)
    process.exitCode = 1
  }
}
