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

/** The modules of the first page: what `main.ts` imports, and what those import, but nothing that is fetched later. */
function firstPage(file = resolve('src/main.ts'), seen = new Set<string>()): Set<string> {
  seen.add(file)
  for (const [, path] of readFileSync(file, 'utf8').matchAll(/^\s*import\s(?!type\b)(?:[^'"]*?from\s*)?['"](\.[^'"]+)['"]/gm)) {
    const base = resolve(dirname(file), path!)
    const found = [base, `${base}.ts`].find((name) => existsSync(name) && !name.endsWith('.css'))
    if (found && !seen.has(found)) firstPage(found, seen)
  }
  return seen
}

// One file for all of the first page: split by who shares what it would be a dozen requests.
const first = firstPage()
const isFirst = (id: string) => first.has(id.split('?')[0]!) || /node_modules\/(svelte|esm-env|clsx)\//.test(id)

// Relative asset paths, so that one build works under any base path: the server writes `<base href>` into the page.
export default defineConfig({
  base: './',
  plugins: [svelte(), compressed()],
  build: {
    target: 'es2022',
    // Small files inlined as data: URLs would need a wider Content-Security-Policy.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: 'first', test: isFirst }] } } },
    reportCompressedSize: false,
    manifest: 'manifest.json',
  },
  test: { include: ['tests/unit/**/*.test.ts'] },
} as Parameters<typeof defineConfig>[0])
