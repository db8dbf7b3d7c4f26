// The tutorial, acted in a browser against the real server with a real agent.

import assert from 'node:assert/strict'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { teller, until } from '../story.mjs'
import { Server } from './server.mjs'

// Marks runs late at once, so that the story need not wait for what it is not about.
const QUICK = { PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS: '1', PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS: '1', PREFECT_AGENT_QUERY_INTERVAL: '1', PREFECT_LOGGING_TO_API_BATCH_INTERVAL: '0.2' }
const { story, end } = await teller((options) => Server.start({ ...options, env: { ...QUICK, ...options.env } }))

// A flow of the tutorial: an API that fails while a file is there.
const ETL = 'echo "calling the API"; if [ -e "$PREFECT_HOME/api-is-down" ]; then echo "the API answers 500"; exit 1; fi; echo "wrote 3 rows"'

const ended = (server, count) =>
  until(`${count} ended runs`, async () => (await server.api('POST', '/flow_runs/filter', { flow_runs: { state: { type: { any_: ['COMPLETED', 'FAILED'] } } } })).length >= count)

await story('the tutorial: failed and green bars, a log, Quick Run, yellow, Late, an agent, green, and again', async (page, server) => {
  await server.deploy({ flow: 'My ETL flow', name: 'etl-deployment', script: ETL, tags: ['ETL'] })
  await server.run('work-queue', 'create', '-t', 'ETL', 'etl-queue')
  // Two runs in a terminal, one of which fails; no agent has been here yet.
  await writeFile(join(server.home, 'api-is-down'), '')
  await server.run('deployment', 'execute', 'My ETL flow/etl-deployment').catch(() => {})
  await ended(server, 1)
  await rm(join(server.home, 'api-is-down'))
  await server.run('deployment', 'execute', 'My ETL flow/etl-deployment')
  await ended(server, 2)

  // Red below the axis, green above it, each with its words.
  await page.goto(server.url)
  const bar = page.getByRole('button', { name: /Completed flow runs: 1, .*Failed flow runs: 1|Failed flow runs: 1, .*Completed flow runs: 1|Completed flow runs: 1.*Failed flow runs: 1/ })
  await bar.first().waitFor()
  await page.locator('.seg[data-tone=failed]').first().waitFor()
  await page.locator('.seg[data-tone=completed]').first().waitFor()

  // The failed card leads to the run, and the run to its log.
  await page.getByRole('button', { name: /1 Failed/ }).click()
  await page.getByRole('tab', { name: /Flow runs 1/ }).click()
  await page.locator('[data-row] a').first().click()
  await page.locator('h1 + .pill').getByText('Failed').waitFor()
  await page.getByText('the API answers 500').waitFor()

  // Quick Run, its notice, and the way to the run.
  await page.goto(server.url)
  await page.getByRole('link', { name: 'My ETL flow' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Quick Run' }).click()
  const notice = page.getByRole('status').filter({ hasText: 'Flow run scheduled' })
  await notice.waitFor()
  await page.keyboard.press('Escape')

  // Yellow, then Late, without a reload.
  await page.locator('.seg[data-tone=scheduled], .seg[data-tone=late]').first().waitFor()
  const late = page.getByRole('button', { name: /Late flow runs: 1/ })
  await late.first().waitFor()
  await late.first().focus()
  await page.locator('.tip').getByText('Late flow runs', { exact: true }).waitFor()
  assert.match(await page.locator('.tip').innerText(), /Run count\s+1/)
  await page.getByText(/1 run is late: no agent polls work queue etl-queue/).waitFor()
  await notice.getByRole('link', { name: 'View run' }).click()
  await page.getByRole('heading', { name: 'Why is it not running?' }).waitFor()
  await page.locator('h1 + .pill').getByText('Late').waitFor()

  // An agent comes; the page turns green by itself, and the bars do.
  const again = server.agent('etl-queue')
  await page.locator('h1 + .pill').getByText('Completed').waitFor()
  await page.getByText('wrote 3 rows').waitFor()
  await page.getByRole('link', { name: 'Dashboard' }).first().click()
  await page.getByRole('button', { name: /Completed flow runs: 2/ }).first().waitFor()
  await page.locator('.seg[data-tone=late]').waitFor({ state: 'detached' })

  // And again, from the keyboard, with the agent there.
  await page.keyboard.press('g')
  await page.keyboard.press('p')
  // Rows of flows have no Quick Run, so this is the deployments' page.
  await page.locator('[data-row] [data-quick]').first().waitFor()
  await page.keyboard.press('j')
  await page.keyboard.press('q')
  await page.getByText('Flow run scheduled').waitFor()
  await page.keyboard.press('g')
  await page.keyboard.press('d')
  await page.getByRole('button', { name: /Completed flow runs: 3/ }).first().waitFor()
  // A queue that an agent polls says so.
  await page.goto(`${server.url}/work-queues`)
  await page.locator('[data-row]').first().waitFor()
  assert.doesNotMatch(await page.locator('main').innerText(), /never/i)
  await server.stop(again)
}, { patience: 20_000 })

await story('a server that goes away shows, and what happened meanwhile is there when it is back', async (page, server) => {
  const deployment = await server.deploy({ flow: 'Quiet flow', name: 'quiet', script: 'echo hello' })
  await page.goto(server.url)
  await page.locator('[data-link=live]').first().waitFor()
  await server.stop(server.process, 'SIGKILL')
  await page.locator('[data-link=polling], [data-link=offline]').first().waitFor()
  await server.launch()
  await server.api('POST', `/deployments/${deployment}/create_flow_run`, {})
  await page.locator('[data-link=live]').first().waitFor()
  await page.getByRole('button', { name: /(Scheduled|Late) flow runs: 1/ }).first().waitFor()
}, { patience: 30_000 })

await story('under a base path everything is found, and a proxy may take it off or leave it', async (page, server) => {
  await server.deploy({ flow: 'Quiet flow', name: 'quiet', script: 'echo hello' })
  await page.goto(`${server.origin}/flows/ops/`)
  await page.getByRole('link', { name: 'Quiet flow' }).waitFor()
  await page.locator('[data-link=live]').first().waitFor()
  await page.getByRole('link', { name: 'Deployments' }).first().click()
  await page.locator('[data-row]').first().waitFor()
  assert.match(page.url(), /\/flows\/ops\/deployments$/)
  await page.reload()
  await page.locator('[data-row]').first().waitFor()
}, { env: { PREFECT_UI_SERVE_BASE: '/flows/ops' } })

await story('a server that asks for credentials is signed in to, in this tab, the stream of changes too', async (page, server) => {
  server.headers = { authorization: `Basic ${btoa('admin:pass')}` }
  const deployment = await server.deploy({ flow: 'Quiet flow', name: 'quiet', script: 'echo hello' })
  await page.goto(server.url)
  const dialog = page.getByRole('dialog', { name: 'Sign in' })
  await dialog.getByLabel('User').fill('admin')
  await dialog.getByLabel('Password').fill('wrong')
  await page.keyboard.press('Enter')
  await dialog.getByText('The server did not take that.').waitFor()
  await dialog.getByLabel('User').fill('admin')
  await dialog.getByLabel('Password').fill('pass')
  await page.keyboard.press('Enter')
  await page.getByRole('link', { name: 'Quiet flow' }).waitFor()
  await page.locator('[data-link=live]').first().waitFor()
  await server.api('POST', `/deployments/${deployment}/create_flow_run`, {})
  await page.getByRole('button', { name: /(Scheduled|Late) flow runs: 1/ }).first().waitFor()
  await page.reload()
  await page.getByRole('link', { name: 'Quiet flow' }).waitFor()
  assert.equal(await page.evaluate(() => Object.keys(localStorage).filter((key) => /cred/i.test(key)).length), 0)
}, { env: { PREFECT_SERVER_API_AUTH_STRING: 'admin:pass', PREFECT_API_AUTH_STRING: 'admin:pass' } })

await story('a server that wants CSRF tokens gets them without a word', async (page, server) => {
  await page.goto(server.url)
  await page.getByText('prefect-rs agent start').first().waitFor()
}, { env: { PREFECT_SERVER_CSRF_PROTECTION_ENABLED: 'true' } })

await story('an empty server leads through the tutorial', async (page, server) => {
  await page.goto(server.url)
  await page.getByText('prefect-rs agent start').first().waitFor()
})

await end()
