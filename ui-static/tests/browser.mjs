// One Chromium with an empty profile and nothing going out on its own.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { chromium } from 'playwright-core'

export async function browser() {
  const dir = await mkdtemp(join(tmpdir(), 'ui-profile-'))
  const context = await chromium.launchPersistentContext(dir, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    viewport: { width: 1440, height: 900 },
    // A host that is not this machine, as far as the browser knows: there it trusts a page less.
    args: [
      '--host-resolver-rules=MAP prefect.test 127.0.0.1',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
  return {
    context,
    close: async () => {
      await context.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** Waits until a page is at rest: what glides has arrived, and what was changed last has been painted. */
export async function atRest(page) {
  await page.evaluate(async () => {
    const frame = () => new Promise((done) => requestAnimationFrame(done))
    await document.fonts.ready
    await frame()
    await frame()
    const moving = () =>
      document
        .getAnimations()
        .filter((one) => one.playState === 'running' && one.effect?.getComputedTiming().endTime !== Infinity)
    while (moving().length)
      await Promise.race([
        Promise.allSettled(moving().map((one) => one.finished)),
        new Promise((done) => setTimeout(done, 1000)),
      ])
    await frame()
  })
}
