// clang-tidy over the C++ of engine/, cpu/ and binding/ (.clang-tidy says what it looks for), as the addon compiles it.
//   node scripts/clang-tidy.mjs [FILE...]
import { execFile, execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const build = join(root, 'build/tidy')

const tidy = execFileSync(join(root, 'scripts/install-clang-tidy.sh'), { encoding: 'utf8' }).trim()
const cmakeJs = join(root, 'node_modules/cmake-js/bin/cmake-js')
execFileSync(
  process.execPath,
  [cmakeJs, 'configure', '--out', build, '--CDCMAKE_EXPORT_COMPILE_COMMANDS=ON'],
  {
    cwd: root,
    stdio: ['ignore', 'ignore', 'inherit'],
  },
)

const commands = JSON.parse(readFileSync(join(build, 'compile_commands.json'), 'utf8'))
const compiled = [...new Set(commands.map(({ file }) => relative(root, file)))]
const wanted = process.argv.slice(2)
const files = compiled.filter((file) =>
  wanted.length > 0 ? wanted.includes(file) : /^(engine|cpu|binding)\/\w+\.cpp$/.test(file),
)
if (files.length === 0) throw new Error(`no file to look at among ${compiled.length} that are compiled`)

let failed = 0
const waiting = [...files]
async function work() {
  for (let file = waiting.pop(); file !== undefined; file = waiting.pop()) {
    await promisify(execFile)(tidy, ['-p', build, '--quiet', file], { cwd: root, maxBuffer: 1 << 28 }).catch(
      ({ stdout, stderr, message }) => {
        failed++
        console.error(stdout || stderr || message)
      },
    )
  }
}
await Promise.all(Array.from({ length: availableParallelism() }, work))
console.log(`clang-tidy: ${files.length} files, ${failed} with findings`)
process.exit(failed === 0 ? 0 : 1)
