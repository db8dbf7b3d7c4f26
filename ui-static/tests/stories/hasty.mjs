// Stories of a hasty hand: two clicks where one was meant, filters to go back from, a page that is opened while
// nobody answers, a second tab.

import assert from 'node:assert/strict'
import { start } from '../mock/server.mjs'
import { until } from '../story.mjs'

export async function hasty(story) {
  const pill = (page) => page.locator('h1 + .pill')

  await story('the second of two clicks on Retry cancels nothing, and Cancel asks first', async (page, server) => {
    const db = server.db()
    const run = db.addRun(db.flows[0], db.deployments[0], Date.now() - 3600e3, 'FAILED', 5)
    await page.goto(`${server.url}/flow-run/${run.id}`)
    const retry = page.getByRole('button', { name: 'Retry' })
    await retry.waitFor()
    const place = await retry.boundingBox()
    const [x, y] = [place.x + place.width / 2, place.y + place.height / 2]
    await page.mouse.click(x, y)
    await pill(page).getByText('AwaitingRetry').waitFor()
    await page.mouse.click(x, y)
    await page.waitForTimeout(300)
    assert.equal(run.state_name, 'AwaitingRetry')
    assert.equal(await page.getByRole('dialog').count(), 0)
    await page.getByRole('button', { name: 'Cancel…' }).click()
    await page.getByRole('dialog').getByText('It will not start.').waitFor()
    await page.getByRole('button', { name: 'Keep' }).click()
    await page.getByRole('dialog').waitFor({ state: 'detached' })
    assert.equal(run.state_name, 'AwaitingRetry')
    await page.getByRole('button', { name: 'Cancel…' }).click()
    await page.getByRole('button', { name: 'Cancel run' }).click()
    await page.getByText(`${run.name} cancelled`).waitFor()
    await page.goto(`${server.url}/flow-run/${db.live.id}`)
    await page.getByRole('button', { name: 'Cancel…' }).click()
    await page.getByRole('dialog').getByText('its process is stopped').waitFor()
    await page.getByRole('button', { name: 'Cancel run' }).click()
    await page.getByText('sturdy-groundhog is being cancelled').waitFor()
  })

  await story('what cannot be done says why', async (page, server) => {
    const db = server.db()
    const alone = db.addRun(db.flows[0], null, Date.now() - 3600e3, 'FAILED', 5)
    await page.goto(`${server.url}/flow-run/${alone.id}`)
    const retry = page.getByRole('button', { name: 'Retry', description: /It belongs to no deployment/ })
    await retry.click({ force: true })
    await page.waitForTimeout(200)
    assert.equal(alone.state_name, 'Failed')
    // Of a deployment that is gone nothing is left to be run.
    const { id } = db.deployments[0]
    await page.goto(`${server.url}/deployment/${id}`)
    await page.getByRole('button', { name: 'Quick Run' }).waitFor()
    db.deployments = db.deployments.filter((d) => d.id !== id)
    server.emit([{ kind: 'deployment', id }])
    await page.getByText('Deleted meanwhile.').waitFor()
    for (const name of ['Quick Run', 'Custom run…', 'Delete the deployment'])
      assert.ok(await page.getByRole('button', { name }).isDisabled(), name)
  })

  await story('the panel of a flow has a run with other parameters too', async (page, server) => {
    const db = server.db()
    await page.goto(`${server.url}/?panel=flow:${db.flows[0].id}`)
    const { name, flow_id } = db.deployments.find((d) => d.flow_id === db.flows[0].id)
    await page.getByRole('button', { name: `Custom run of ${name}` }).click()
    await page
      .getByRole('dialog', { name: `Run ${name}` })
      .getByRole('button', { name: 'Run', exact: true })
      .click()
    await page.getByText('Flow run scheduled').waitFor()
    assert.equal(db.runs.at(-1).flow_id, flow_id)
    // What is deleted meanwhile offers nothing more.
    db.flows = db.flows.filter((f) => f.id !== flow_id)
    server.emit([{ kind: 'flow_run', id: 'x', flow_id }])
    await page.getByText('Deleted meanwhile.').waitFor()
    for (const name of ['Quick Run', /^Custom run of/, 'Delete flow'])
      assert.ok(await page.getByRole('button', { name }).first().isDisabled(), String(name))
  })

  await story('several runs are cancelled after a question', async (page, server) => {
    const db = server.db()
    await page.goto(`${server.url}/runs?state=Late`)
    await page.getByRole('button', { name: 'Select these' }).click()
    await page.getByRole('button', { name: 'Cancel', exact: true }).click()
    await page.getByRole('dialog', { name: 'Cancel 3 runs?' }).getByRole('button', { name: 'Cancel runs' }).click()
    await page.getByText('3 runs cancelled').waitFor()
    assert.equal(db.runs.filter((r) => r.state_name === 'Late').length, 0)
  })

  await story('all that failed is one filter, and Back takes it away', async (page, server) => {
    const db = server.db()
    const run = db.addRun(db.flows[0], db.deployments[0], Date.now() - 3600e3, 'FAILED', 5, { name: 'too-long' })
    db.state(run, 'FAILED', Date.now() - 3500e3, 'TimedOut')
    await page.goto(`${server.url}/runs`)
    await page.locator('[data-row]').first().waitFor()
    const state = page.getByRole('combobox', { name: 'State' })
    await state.selectOption({ label: 'Failed: all' })
    await page.waitForURL(/state=FAILED/)
    await page.getByRole('link', { name: 'too-long' }).waitFor()
    await state.selectOption('TimedOut')
    await page.getByText('1 run', { exact: true }).waitFor()
    await page.goBack()
    await page.waitForURL(/state=FAILED/)
    await page.goBack()
    await page.waitForURL((url) => !url.search)
    assert.equal(await state.inputValue(), '')
    const bar = page.getByRole('combobox', { name: 'Query' })
    await bar.fill('state:failed')
    await bar.press('Enter')
    await page.waitForURL(/state=FAILED/)
    for (const [typed, words] of [
      ['state:', 'state: takes a state such as Failed or Late'],
      ['last:-5', 'last: takes a span'],
      ['next:abc', 'next: takes a span'],
    ]) {
      await bar.fill(typed)
      await bar.press('Enter')
      await page.getByText(words).waitFor()
    }
  })

  await story('runs are chosen on a phone too', async (page, server) => {
    await page.setViewportSize({ width: 390, height: 844 })
    await page.goto(`${server.url}/runs?state=Late`)
    await page
      .getByRole('checkbox', { name: /^Select / })
      .first()
      .check()
    await page.getByText('1 selected').waitFor()
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth))
  })

  await story('a deployment whose first run is still to come says so', async (page, server) => {
    const db = server.db()
    const fresh = { ...db.deployments[0], id: '0197ffff-5a1e-4c3d-9b2f-00000000abcd', name: 'fresh' }
    fresh.tags = ['nobody-takes-this']
    db.deployments.push(fresh)
    await page.goto(`${server.url}/deployment/${fresh.id}`)
    await page.getByText('Quick Run schedules a run.').waitFor()
    await page.getByRole('button', { name: 'Quick Run' }).click()
    await page.getByText('is scheduled. No work queue matches its tags.').waitFor()
    assert.equal(await page.getByText('starts now').count(), 0)
    await page.getByRole('link', { name: '1 upcoming' }).click()
    await page.getByRole('tab', { name: 'Upcoming', selected: true }).waitFor()
  })

  await story('the log of a run under way is read at its end until somebody scrolls up', async (page, server) => {
    const db = server.db()
    const write = (n) => {
      for (let i = 0; i < n; i++)
        db.logs.push({
          id: String(Math.random()),
          flow_run_id: db.live.id,
          task_run_id: null,
          level: 20,
          name: 'prefect.flow_runs',
          timestamp: new Date().toISOString(),
          message: `line ${db.logs.length}`,
        })
      server.emit([{ kind: 'log', id: db.live.id }])
      return `line ${db.logs.length - 1}`
    }
    write(900)
    await page.goto(`${server.url}/flow-run/${db.live.id}`)
    const log = page.getByRole('log')
    const below = () => log.evaluate((n) => n.scrollHeight - n.scrollTop - n.clientHeight)
    await until('the end', async () => (await below()) < 5)
    await log.getByText(write(50), { exact: true }).waitFor()
    await until('the end', async () => (await below()) < 5)
    await log.hover()
    await page.mouse.wheel(0, -2000)
    await page.getByRole('button', { name: 'Follow new lines', pressed: false }).waitFor()
    write(50)
    await page.waitForTimeout(1500)
    assert.ok((await below()) > 1000)
  })

  await story('a page opened while nobody answers appears when the server is back', async (page, server) => {
    await page.goto(`${server.url}/work-queues`)
    await page.locator('[data-link=live]').first().waitFor()
    const port = Number(new URL(server.url).port)
    await server.close()
    await page.locator('[data-link=offline]').first().waitFor()
    await page.getByRole('link', { name: 'Deployments' }).first().click()
    await page.getByText('this page appears as soon as it does').waitFor()
    const again = await start({ port })
    try {
      await page.getByRole('heading', { level: 1, name: 'Deployments' }).waitFor({ timeout: 20_000 })
      await page.locator('[data-row]').first().waitFor()
    } finally {
      await again.close()
    }
  })

  await story('who is signed in in one tab is so in the next, and signs out of all', async (page, server) => {
    server.stats.login = `Basic ${btoa('admin:pass')}`
    await page.goto(server.url)
    const dialog = page.getByRole('dialog', { name: 'Sign in' })
    await dialog.getByLabel('User').fill('admin')
    await dialog.getByLabel('Password').fill('pass')
    await page.keyboard.press('Enter')
    await page
      .getByRole('button', { name: /Late flow runs: 3/ })
      .first()
      .waitFor()
    const other = await page.context().newPage()
    await other.goto(`${server.url}/deployments`)
    await other.locator('[data-row]').first().waitFor()
    assert.equal(await other.getByRole('dialog').count(), 0)
    assert.equal(await other.evaluate(() => Object.values(localStorage).filter((v) => /pass/.test(v)).length), 0)
    await other.goto(`${server.url}/settings`)
    await other.getByRole('button', { name: 'Sign out' }).click()
    await other.getByRole('dialog', { name: 'Sign in' }).waitFor()
    await page.bringToFront()
    await dialog.waitFor()
    await other.close()
  })
}
