// What the first page loads, compressed: at most 90 kB of script, 120 kB with styles.

import { readFileSync } from 'node:fs'
import { brotliCompressSync } from 'node:zlib'

const manifest = JSON.parse(readFileSync('dist/manifest.json', 'utf8'))
const entry = Object.values(manifest).find((chunk) => chunk.isEntry)
const files = new Set()
const styles = new Set()
const walk = (chunk) => {
  if (files.has(chunk.file)) return
  files.add(chunk.file)
  for (const css of chunk.css ?? []) styles.add(css)
  for (const name of chunk.imports ?? []) walk(manifest[name])
}
walk(entry)
const size = (set) => [...set].reduce((sum, file) => sum + brotliCompressSync(readFileSync(`dist/${file}`)).length, 0)
const script = size(files)
const all = script + size(styles)
console.log(`first page: ${(script / 1000).toFixed(1)} kB of script, ${(all / 1000).toFixed(1)} kB with styles (compressed)`)
if (script > 90_000 || all > 120_000) {
  console.error('over the budget of 90 kB and 120 kB')
  process.exit(1)
}
