// Every page, light and dark, large and small, before the rules of axe (WCAG 2.1 A and AA, contrast included).

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { atRest, browser } from './browser.mjs'
import { start } from './mock/server.mjs'
import { pages } from './pages.mjs'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const only = process.argv.slice(2)
const server = await start()
const { context, close } = await browser()
const page = await context.newPage()
// The rules are put in by the test itself, which the page's own policy would forbid.
const cdp = await context.newCDPSession(page)
await cdp.send('Page.setBypassCSP', { enabled: true })
let count = 0
for (const [size, width, height] of [
  ['large', 1440, 900],
  ['small', 390, 844],
]) {
  await page.setViewportSize({ width, height })
  for (const theme of ['light', 'dark']) {
    await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' })
    for (const [name, path] of Object.entries(pages(server.db()))) {
      if (only.length && !only.includes(name)) continue
      await page.goto(server.url + path)
      await page.getByRole('heading', { level: 1 }).waitFor()
      await page.locator('[aria-busy=true]').first().waitFor({ state: 'detached' })
      await atRest(page)
      await page.evaluate(axe)
      const { violations } = await page.evaluate(() =>
        window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }),
      )
      for (const found of violations) {
        count++
        console.log(`${name} ${size} ${theme}: ${found.id}: ${found.help}`)
        for (const node of found.nodes.slice(0, 3))
          console.log(
            `    ${node.html.slice(0, 140)}\n    ${(node.failureSummary ?? '').split('\n').slice(1, 3).join(' ').slice(0, 200)}`,
          )
      }
    }
  }
}
await close()
await server.close()
console.log(count ? `axe: ${count} violations` : 'axe: no violations')
if (count) process.exit(1)
