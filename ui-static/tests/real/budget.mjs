// The budgets of the dashboard against the real server and a large database. Sizes and requests are
// asserted; times are told, since a shared machine keeps no promise about them.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { browser } from '../browser.mjs'
import { frames, measure } from '../measure.mjs'
import { Server } from './server.mjs'

/** A server on a database of so much. */
export async function seeded(spec) {
  const home = await mkdtemp(join(tmpdir(), 'prefect-rs-seeded-'))
  // The server makes its own tables; the seed only fills them.
  const maker = await Server.start({ home })
  await maker.close()
  const database = (await readdir(home)).find((name) => name.endsWith('.db'))
  const ids = JSON.parse(
    execFileSync('python3', [join(import.meta.dirname, 'seed.py'), join(home, database), JSON.stringify(spec)], {
      encoding: 'utf8',
      maxBuffer: 1 << 24,
    }),
  )
  const server = await Server.start({
    home,
    env: { PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED: 'false', PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED: 'false' },
  })
  return {
    server,
    ids,
    close: async () => {
      await server.close()
      await rm(home, { recursive: true, force: true })
    },
  }
}

const told = {}
const tell = (name, value) => {
  told[name] = value
  console.log(`${name}: ${JSON.stringify(value)}`)
}

const small = await seeded({ runs: 20_000, days: 1, tasks: 10_000, logs: 100_000 })
const { context, close } = await browser()
try {
  // Once before, so that neither process is measured while it warms up.
  await measure(context, small.server.url)
  const first = await measure(context, small.server.url, { marker: 'rect.seg' })
  tell('first page, 20,000 runs', first)
  assert.ok(first.script_bytes <= 90_000, `${first.script_bytes} bytes of script`)
  assert.ok(
    first.script_bytes + first.style_bytes <= 120_000,
    `${first.script_bytes + first.style_bytes} bytes of script and styles`,
  )
  assert.ok(first.api_requests <= 4, `${first.api_requests} API requests`)
  assert.deepEqual(first.foreign, [], 'nothing is asked of another host')

  const page = await context.newPage()
  page.setDefaultTimeout(30_000)
  let asked = 0
  page.on('request', (r) => r.url().includes('/api/') && asked++)
  let from = Date.now()
  await page.goto(`${small.server.url}/flow-run/${small.ids.wide}`)
  await page.locator('canvas').waitFor()
  await page.getByText('10 of 10,000 failed:').waitFor()
  tell('a run of 10,000 task runs, drawn after ms', Date.now() - from)
  const canvas = page.locator('canvas')
  const box = await canvas.boundingBox()
  await page.getByRole('button', { name: 'Zoom in' }).click()
  tell(
    'panning it',
    await frames(page, async () => {
      await page.mouse.move(box.x + 600, box.y + 80)
      await page.mouse.down()
      for (let i = 0; i < 60; i++) {
        await page.mouse.move(box.x + 600 - i * 8, box.y + 80 + (i % 20))
        await page.waitForTimeout(8)
      }
      await page.mouse.up()
    }),
  )
  tell(
    'zooming it',
    await frames(page, async () => {
      for (let i = 0; i < 40; i++) {
        await canvas.press(i % 2 ? '-' : '+')
        await page.waitForTimeout(8)
      }
    }),
  )
  await page.getByText('100,000 lines').waitFor()
  tell(
    'scrolling 100,000 log lines',
    await frames(page, async () => {
      const log = page.getByRole('log')
      for (let i = 1; i <= 60; i++) {
        await log.evaluate((node, share) => (node.scrollTop = node.scrollHeight * share), i / 60)
        await page.waitForTimeout(8)
      }
    }),
  )
  await page.getByText('Processed row 99999 of').waitFor()
  assert.ok((await page.locator('.line').count()) < 150, 'only the lines in sight exist')
  // Finished: what happens elsewhere is not its business.
  await page.waitForTimeout(500)
  asked = 0
  await small.server.api('POST', `/deployments/${small.ids.deployment}/create_flow_run`, {})
  await page.waitForTimeout(2500)
  assert.equal(asked, 0, 'a finished run asks nothing more')
  await page.close()
} finally {
  await small.close()
}

const large = await seeded({ runs: 100_000, days: 6.9 })
try {
  const page = await context.newPage()
  page.setDefaultTimeout(30_000)
  await page.goto(`${large.server.url}/runs`)
  await page.getByText('100,001 runs').waitFor()
  const turns = []
  for (let i = 0; i < 5; i++) {
    const first = await page.locator('[data-row]').first().innerText()
    const from = Date.now()
    await page.getByRole('button', { name: 'Next' }).click()
    await page.waitForFunction(
      (text) => document.querySelector('[data-row]') && document.querySelector('[data-row]').innerText !== text,
      first,
    )
    turns.push(Date.now() - from)
  }
  tell('turning pages of 100,000 runs, ms', turns)
  const from = Date.now()
  await page.goto(`${large.server.url}/runs?page=1999`)
  await page.locator('[data-row]').first().waitFor()
  tell('the 2,000th page, ms', Date.now() - from)
  await page.close()
} finally {
  await large.close()
  await close()
}
if (process.env.BUDGET_JSON)
  (await import('node:fs')).writeFileSync(process.env.BUDGET_JSON, JSON.stringify(told, null, 1))
