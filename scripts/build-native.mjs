// Builds the addon and puts it where src/native.ts looks: prebuilds/<platform>-<arch>/skrr.node.
// With CMake through cmake-js; without CMake through node-gyp, which ships with npm.
// Arguments are handed to cmake-js: `npm run build:native -- --CDSKRR_SANITIZE=address,undefined`.
import { spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const run = (command, args) => {
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  if (error) console.error(`${command}: ${error.message}`)
  return status === 0
}
const has = (command) => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0

function buildWithCMake() {
  const cmakeJs = join(root, 'node_modules', 'cmake-js', 'bin', 'cmake-js')
  return run(process.execPath, [cmakeJs, 'build', '--out', 'build/cmake', ...process.argv.slice(2)])
    ? 'build/cmake/Release/skrr.node'
    : undefined
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
  return run(process.execPath, [gyp, 'rebuild', '-C', 'binding', ...headers])
    ? 'binding/build/Release/skrr.node'
    : undefined
}

function findNodeGyp() {
  const npm = spawnSync('npm', ['root', '-g'], { encoding: 'utf8' }).stdout?.trim()
  const candidates = [npm && join(npm, 'npm/node_modules/node-gyp/bin/node-gyp.js')]
  return candidates.find((file) => file && existsSync(file))
}

const built = has('cmake') ? buildWithCMake() : buildWithGyp()
if (built === undefined) process.exit(1)
const target = join(root, 'prebuilds', `${process.platform}-${process.arch}`, 'skrr.node')
mkdirSync(dirname(target), { recursive: true })
rmSync(target, { force: true }) // a new inode: a running process keeps the file it has mapped
copyFileSync(join(root, built), target)
console.log(`addon: ${target}`)
