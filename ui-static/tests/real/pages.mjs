// Pages of newer clients on the real server, light and dark, large and small: the rules of axe, one h1,
// nothing sideways, no text of others that becomes an element or turns others around. SHOTS=dir keeps pictures of them.

import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { atRest, browser } from '../browser.mjs'
import { Server } from './server.mjs'
import { showcase } from './showcase.mjs'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const only = process.argv.slice(2)
const shots = process.env.SHOTS
if (shots) await mkdir(shots, { recursive: true })
const server = await Server.start()
const { context, close } = await browser()
const problems = []
try {
  const { pages, deployment } = await showcase(server)
  const page = await context.newPage()
  let now = ''
  page.on('pageerror', (e) => problems.push(`${now}: ${e.message}`))
  page.on('console', (m) => /Content Security Policy|Uncaught/.test(m.text()) && problems.push(`${now}: ${m.text()}`))
  const cdp = await context.newCDPSession(page)
  // The rules are put in by the test itself, which the page's own policy would forbid.
  await cdp.send('Page.setBypassCSP', { enabled: true })
  const look = async (name, size, theme) => {
    await atRest(page)
    if (shots) await page.screenshot({ path: `${shots}/${name}-${size}-${theme}.png` })
    const found = await page.evaluate(() => ({
      wide: document.documentElement.scrollWidth - innerWidth,
      h1: document.querySelectorAll('h1').length,
      hacked: window.__hacked,
      turned: /.{0,30}[\u202a-\u202e\u2066-\u2069].{0,30}/.exec(document.body.innerText)?.[0],
    }))
    if (found.wide > 0) problems.push(`${now}: scrolls sideways by ${found.wide}`)
    if (found.h1 !== 1) problems.push(`${now}: ${found.h1} h1`)
    if (found.turned) problems.push(`${now}: a text is turned around: ${JSON.stringify(found.turned)}`)
    if (found.hacked) problems.push(`${now}: a text became an element`)
    await page.evaluate(axe)
    const { violations } = await page.evaluate(() =>
      window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }),
    )
    for (const v of violations)
      problems.push(
        `${now}: ${v.id}: ${v.help}\n    ${v.nodes
          .slice(0, 2)
          .map((n) => `${n.html.slice(0, 140)}\n    ${(n.failureSummary ?? '').split('\n')[1] ?? ''}`)
          .join('\n    ')}`,
      )
  }
  for (const [size, width, height] of [
    ['large', 1440, 900],
    ['small', 390, 844],
  ]) {
    await page.setViewportSize({ width, height })
    for (const theme of ['light', 'dark']) {
      await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' })
      for (const [name, path] of Object.entries(pages)) {
        if (only.length && !only.includes(name)) continue
        now = `${name} ${size} ${theme}`
        await page.goto(server.url + path)
        await page.getByRole('heading', { level: 1 }).waitFor()
        await page.locator('[aria-busy=true]').first().waitFor({ state: 'detached' })
        await look(name, size, theme)
      }
      // What opens over a page.
      if (only.length && !only.includes('dialogs')) continue
      for (const [name, path, press] of [
        ['dialog-run', `/deployment/${deployment}`, 'Custom run…'],
        ['dialog-schedule', `/deployment/${deployment}`, 'Add schedule'],
        ['dialog-automation', '/automations', 'New automation'],
        ['dialog-variable', '/variables', 'New variable'],
        ['dialog-pool', '/work-pools', 'New pool'],
        ['dialog-queue', '/work-queues', 'New queue'],
        ['dialog-block', '/blocks', 'Edit night-relay'],
        ['dialog-notification', '/notifications', 'New notification'],
      ]) {
        now = `${name} ${size} ${theme}`
        await page.goto(server.url + path)
        await page.getByRole('button', { name: press }).click()
        await page.getByRole('dialog').waitFor()
        if (name === 'dialog-schedule') await page.getByRole('dialog').locator('ol').waitFor()
        await look(name, size, theme)
      }
    }
  }
} finally {
  await close()
  await server.close()
}
for (const problem of problems) console.log(problem)
console.log(problems.length ? `pages: ${problems.length} problems` : 'pages: no problems')
if (problems.length) process.exit(1)
