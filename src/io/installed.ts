import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { SkrrError } from '../errors.js'

/**
 * A file of the installed package, which need not exist. Asked for at first use: a bundler that takes this library's JavaScript
 * leaves the addon and the threads' files behind, and an import should not fail by a path.
 * @throws SkrrError ERR_DEVICE from a bundle
 */
export function installedFile(...path: readonly string[]): string {
  root ??= packageRoot(import.meta.url)
  return join(root, ...path)
}

let root: string | undefined

/** @param url of this file, two folders below the root; undefined in a bundle of CommonJS */
function packageRoot(url: string | undefined): string {
  // path by path: bundlers take `new URL('...', import.meta.url)` for a file that they should bundle
  const folder = url === undefined ? undefined : join(dirname(fileURLToPath(url)), '..', '..')
  if (folder !== undefined && isOurs(join(folder, 'package.json'))) return folder
  throw new SkrrError('ERR_DEVICE', {
    message: 'skrr is part of a bundle, which has no native addon: it needs the files of its package',
    hint:
      'Keep skrr external: esbuild --external:skrr, webpack externals: { skrr: "module skrr" }, rollup external: ["skrr"], ' +
      'vite ssr.external: ["skrr"], Next.js serverExternalPackages: ["skrr"]; and install it beside the bundle',
  })
}

const isOurs = (file: string): boolean =>
  existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as { name?: unknown }).name === 'skrr'
