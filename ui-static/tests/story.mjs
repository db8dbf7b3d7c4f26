// A story is what a person does and sees, told to a browser. A file of stories makes one teller.

import { browser } from './browser.mjs'

/** Waits until `check` gives something; a story says what it waits for, never how long. */
export async function until(what, check, patience = 20_000) {
  const end = Date.now() + patience
  for (;;) {
    const found = await check()
    if (found) return found
    if (Date.now() > end) throw new Error(`waited in vain for: ${what}`)
    await new Promise((done) => setTimeout(done, 100))
  }
}

/** `open(options)` makes the server of a story: anything with `url` and `close()`. */
export async function teller(open) {
  const { context, close } = await browser()
  const errors = []
  let failed = 0
  const only = process.env.STORY

  async function story(name, act, options = {}) {
    if (only && !name.includes(only)) return
    const from = Date.now()
    let server
    const page = await context.newPage()
    page.setDefaultTimeout(options.patience ?? 10_000)
    page.on('pageerror', (e) => errors.push(`${name}: ${e.message}`))
    page.on('console', (m) => /Content Security Policy|Uncaught/.test(m.text()) && errors.push(`${name}: ${m.text()}`))
    try {
      server = await open(options)
      await act(page, server)
      console.log(`ok   ${name} (${Date.now() - from} ms)`)
    } catch (error) {
      failed++
      console.log(`FAIL ${name}\n     ${error.message.split('\n').slice(0, 30).join('\n     ')}`)
      if (process.env.SHOTS)
        await page.screenshot({ path: `${process.env.SHOTS}/failed-${failed}.png` }).catch(() => {})
    }
    await page.close()
    await server?.close()
  }

  async function end() {
    await close()
    for (const error of errors) console.log(`page error: ${error}`)
    if (failed || errors.length) process.exit(1)
  }
  return { story, end, context }
}
