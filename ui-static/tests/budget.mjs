// What the first page loads, compressed: at most 90 kB of script, 120 kB with styles.

import { readdirSync, readFileSync } from 'node:fs'
import { brotliCompressSync } from 'node:zlib'

const manifest = JSON.parse(readFileSync('dist/manifest.json', 'utf8'))
const html = readFileSync('dist/index.html', 'utf8')
const named = (pattern) => [...html.matchAll(pattern)].map(([, path]) => path)
const files = new Set()
const styles = new Set(named(/<link rel="stylesheet"[^>]* href="\.\/([^"]+)"/g))
const walk = (file) => {
  if (files.has(file)) return
  files.add(file)
  const chunk = Object.values(manifest).find((one) => one.file === file)
  for (const css of chunk.css ?? []) styles.add(css)
  for (const name of chunk.imports ?? []) walk(manifest[name].file)
}
named(/<script type="module"[^>]* src="\.\/([^"]+)"/g).forEach(walk)
if (!files.size) throw new Error('the page names no script')
// The worker that has the stream of changes is fetched a little later, and counted all the same.
files.add(`assets/${readdirSync('dist/assets').find((name) => /^streams-.*\.js$/.test(name))}`)
const size = (set) => [...set].reduce((sum, file) => sum + brotliCompressSync(readFileSync(`dist/${file}`)).length, 0)
const script = size(files)
const all = script + size(styles)
console.log(
  `first page, ${files.size + styles.size} files: ${(script / 1000).toFixed(1)} kB of script, ${(all / 1000).toFixed(1)} kB with styles (compressed)`,
)
if (script > 90_000 || all > 120_000) {
  console.error('over the budget of 90 kB and 120 kB')
  process.exit(1)
}
