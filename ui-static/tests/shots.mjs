// Pictures of every page, light and dark, large and small, to be looked at: `node tests/shots.mjs [page…]`.
// `SIZES=tablet,narrow` takes those in between and beyond.

import { mkdir } from 'node:fs/promises'
import { atRest, browser } from './browser.mjs'
import { start } from './mock/server.mjs'
import { pages } from './pages.mjs'

const out = process.env.SHOTS ?? '/tmp/prefect-rs-shots'
const only = process.argv.slice(2)
await mkdir(out, { recursive: true })
const server = await start()
const db = server.db()
const PAGES = pages(db)
const { context, close } = await browser()
const page = context.pages()[0] ?? (await context.newPage())
page.on('console', (m) => m.type() === 'error' && console.log('console:', page.url(), m.text()))
page.on('pageerror', (e) => console.log('error:', page.url(), e.message))
const SIZES = { large: [1440, 900], small: [390, 844], tablet: [768, 1024], narrow: [320, 640] }
const sizes = (process.env.SIZES ?? 'large,small').split(',')
const themes = (process.env.THEMES ?? 'light,dark').split(',')
for (const size of sizes) {
  const [width, height] = SIZES[size]
  await page.setViewportSize({ width, height })
  for (const theme of themes) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' })
    for (const [name, path] of Object.entries(PAGES)) {
      if (only.length && !only.includes(name)) continue
      await page.goto(server.url + path)
      await page.getByRole('heading', { level: 1 }).waitFor()
      await page.locator('[aria-busy=true]').first().waitFor({ state: 'detached' })
      await atRest(page)
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
      if (wide > 0) console.log(`${name} ${size} ${theme}: scrolls sideways by ${wide}`)
      await page.screenshot({ path: `${out}/${name}-${size}-${theme}.png` })
    }
  }
}
await close()
await server.close()
