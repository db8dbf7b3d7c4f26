import { svelte } from '@sveltejs/vite-plugin-svelte'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { defineConfig, type Plugin } from 'vite'

/** Writes `.br` and `.gz` beside each text file, so that the server never compresses. */
const compressed = (): Plugin => ({
  name: 'compressed',
  apply: 'build',
  closeBundle() {
    for (const entry of readdirSync('dist', { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !/\.(js|css|html|svg)$/.test(entry.name)) continue
      const file = join(entry.parentPath, entry.name)
      const text = readFileSync(file)
      writeFileSync(`${file}.br`, brotliCompressSync(text, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }))
      writeFileSync(`${file}.gz`, gzipSync(text, { level: 9 }))
    }
  },
})

/**
 * Runs the script that asks ahead as soon as it is there; the others wait for the end of the page. The first
 * page calls most of what is in its script: told so, a browser reads it once, beside the page, and not twice.
 */
const early = (): Plugin => ({
  name: 'early',
  apply: 'build',
  writeBundle({ dir }, bundle) {
    for (const name of Object.keys(bundle).filter((one) => /\/first-.*\.js$/.test(one))) {
      const file = join(dir!, name)
      writeFileSync(file, `//# allFunctionsCalledOnLoad\n${readFileSync(file, 'utf8')}`)
    }
  },
  transformIndexHtml: {
    order: 'post',
    handler(html) {
      const script = /<script type="module"(?=[^>]* src="[^"]*\/early-)/
      if (!script.test(html)) throw new Error('the page has no early script')
      return html.replace(script, '$& async')
    },
  },
})

/** A module with what it imports, and what those import, but nothing that is fetched later. */
function closure(file: string, seen = new Set<string>()): Set<string> {
  seen.add(file)
  for (const [, path] of readFileSync(file, 'utf8').matchAll(
    /^\s*import\s(?!type\b)(?:[^'"]*?from\s*)?['"](\.[^'"]+)['"]/gm,
  )) {
    const base = resolve(dirname(file), path!)
    const found = [base, `${base}.ts`].find((name) => existsSync(name) && !name.endsWith('.css'))
    if (found && !seen.has(found)) closure(found, seen)
  }
  return seen
}

const isIn = (modules: Set<string>) => (id: string) => modules.has(id.split('?')[0]!)
const isOfFirst = isIn(closure(resolve('src/main.ts')))

// One file for all of the first page and one for what several others share: split by who shares what, a page
// would be a dozen requests.
const GROUPS = [
  { name: 'early', test: isIn(closure(resolve('src/early.ts'))), priority: 2 },
  {
    name: 'first',
    test: (id: string) => isOfFirst(id) || /node_modules\/(svelte|esm-env|clsx)\//.test(id),
    priority: 1,
  },
  { name: 'shared', test: /\/src\//, minShareCount: 2 },
]

// Relative asset paths, so that one build works under any base path: the server writes `<base href>` into the page.
export default defineConfig({
  base: './',
  plugins: [svelte(), early(), compressed()],
  build: {
    target: 'es2022',
    // Small files inlined as data: URLs would need a wider Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { output: { codeSplitting: { groups: GROUPS } } },
    reportCompressedSize: false,
    manifest: 'manifest.json',
  },
  test: { include: ['tests/unit/**/*.test.ts'] },
} as Parameters<typeof defineConfig>[0])
