// Builds the addon and puts it where src/native/addon.ts looks: prebuilds/<platform>-<arch>/skrr.node.
// With CMake through cmake-js; without CMake through node-gyp, which ships with npm.
// What the tools say is shown when they fail, or with --verbose. Other arguments are handed to cmake-js:
// `npm run build:native -- --CDSKRR_SANITIZE=address,undefined`.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const verbose = process.argv.includes('--verbose')
const jobs = String(availableParallelism()) // make takes one by itself, Ninja all
const toCMake = process.argv.slice(2).filter((argument) => argument !== '--verbose')

/** Runs a tool to its end; its output, or undefined where it failed. */
function run(command, args) {
  const stdio = verbose ? 'inherit' : 'pipe'
  const options = { cwd: root, stdio, encoding: 'utf8', maxBuffer: 1 << 28 }
  const { status, error, stdout, stderr } = spawnSync(command, args, options)
  const output = `${stdout ?? ''}${stderr ?? ''}`
  if (status === 0) return output
  process.stderr.write(output)
  console.error(`${command} ${args.join(' ')}: ${error?.message ?? `exit code ${status}`}`)
  return undefined
}
const has = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0

function buildWithCMake() {
  const cmakeJs = join(root, 'node_modules', 'cmake-js', 'bin', 'cmake-js')
  const output = run(process.execPath, [
    cmakeJs,
    'build',
    '--out',
    'build/cmake',
    '--parallel',
    jobs,
    ...toCMake,
  ])
  if (output === undefined) return undefined
  const cuda = /CUDA.*left out.*/.exec(output)
  if (cuda) console.log(cuda[0])
  return 'build/cmake/Release/skrr.node'
}

function buildWithGyp() {
  console.log('CMake was not found: building the CPU addon with node-gyp. CUDA is left out.')
  const gyp = findNodeGyp()
  if (gyp === undefined) {
    console.error('node-gyp was not found beside npm. Install CMake, or npm with its bundled node-gyp.')
    return undefined
  }
  // Headers of the running Node where they are installed; else node-gyp fetches them.
  const prefix = dirname(dirname(process.execPath))
  const headers = existsSync(join(prefix, 'include/node/node_api.h')) ? [`--nodedir=${prefix}`] : []
  const output = run(process.execPath, [gyp, 'rebuild', '-C', 'binding', '--jobs', jobs, ...headers])
  return output === undefined ? undefined : 'binding/build/Release/skrr.node'
}

function findNodeGyp() {
  const npm = spawnSync('npm', ['root', '-g'], { encoding: 'utf8' }).stdout?.trim()
  const candidates = [npm && join(npm, 'npm/node_modules/node-gyp/bin/node-gyp.js')]
  return candidates.find((file) => file && existsSync(file))
}

/** The CUDA backend goes beside the addon, where it is looked for; one of an older build must not stay there. */
function copyCudaLibrary() {
  const library = join(root, dirname(built), 'skrr_cuda.so')
  const target = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'skrr_cuda.so')
  rmSync(target, { force: true })
  if (existsSync(library)) copyFileSync(library, target)
}

/** What `skrr bench` says it measured: the commit, with -dirty where files differ from it; null outside of a checkout. */
function commit() {
  const git = spawnSync('git', ['describe', '--always', '--dirty', '--exclude', '*'], {
    cwd: root,
    encoding: 'utf8',
  })
  return existsSync(join(root, '.git')) && git.status === 0 ? git.stdout.trim() : null
}

console.log('building the addon (about a minute the first time)')
const built = has('cmake') ? buildWithCMake() : buildWithGyp()
if (built === undefined) process.exit(1)
const target = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'skrr.node')
mkdirSync(dirname(target), { recursive: true })
rmSync(target, { force: true }) // a new inode: a running process keeps the file it has mapped
copyFileSync(join(root, built), target)
copyCudaLibrary()
writeFileSync(join(dirname(target), 'build.json'), `${JSON.stringify({ commit: commit() })}\n`)
console.log(`addon: ${relative(root, target)}`)
