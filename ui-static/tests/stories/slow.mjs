// Stories of a server that takes its time, or fails: what a page says then is calm and true.

import assert from 'node:assert/strict'
import { pages } from '../pages.mjs'
import { until } from '../story.mjs'

export async function slow(story) {
  await story('a slow answer is waited for, and after a while the page says so', async (page, server) => {
    server.stats.slow = 6000
    await page.goto(`${server.url}/work-queues`)
    await page.locator('[aria-busy=true]').first().waitFor()
    assert.equal(await page.getByText('Still waiting for the server').count(), 0, 'nobody is alarmed at once')
    await page.getByText('Still waiting for the server').waitFor()
    await page.getByRole('link', { name: 'etl-queue' }).waitFor()
    await page.getByText('Still waiting for the server').waitFor({ state: 'detached' })
  })

  await story(
    'what answers the question before is seen to be that, and goes when the next one fails',
    async (page, server) => {
      await page.goto(`${server.url}/runs`)
      await page.locator('[data-row]').nth(5).waitFor()
      server.stats.slow = 1500
      await page.getByLabel('State', { exact: true }).selectOption('Late')
      await page.locator('[aria-busy=true]').first().waitFor({ state: 'attached' })
      await page.waitForFunction(
        () => Number(getComputedStyle(document.querySelector('[data-row]').closest('.runs')).opacity) < 0.6,
      )
      await page.waitForFunction(() => document.querySelectorAll('[data-row]').length === 3)
      assert.equal(await page.locator('[aria-busy=true]').count(), 0)
      server.stats.slow = 0
      server.stats.fail = true
      await page.getByLabel('State', { exact: true }).selectOption('Completed')
      await page.getByRole('alert').first().getByText('This could not be shown').waitFor()
      assert.equal(await page.locator('[data-row]').count(), 0, 'late runs do not stand for completed ones')
      server.stats.fail = false
      await page.getByRole('button', { name: 'Try again' }).first().click()
      await page.locator('[data-row]').nth(5).waitFor()
    },
  )

  await story(
    'changes that come faster than a slow server answers are not in the way of its answers',
    async (page, server) => {
      await page.goto(`${server.url}/deployments`)
      await page.locator('[data-link=live]').first().waitFor()
      server.stats.slow = 1500
      const storm = setInterval(
        () => server.emit([{ kind: 'flow_run', id: 'any', state_type: 'RUNNING', state_name: 'Running' }]),
        150,
      )
      try {
        server.stats.requests.length = 0
        await page.getByRole('link', { name: 'Dashboard' }).first().click()
        await page.locator('rect.seg').first().waitFor({ timeout: 4000 })
        await page.waitForTimeout(6000)
        const asked = server.stats.requests.filter((r) => r.endsWith('/ui/overview')).length
        assert.ok(asked >= 2 && asked <= 5, `${asked} questions in eight seconds`)
      } finally {
        clearInterval(storm)
      }
    },
  )

  await story('every page says when its answer was refused, and comes when it is tried again', async (page, server) => {
    const paths = Object.entries({
      ...pages(server.db()),
      artifacts: '/artifacts',
      variables: '/variables',
      notifications: '/notifications',
    }).filter(([name]) => !/^(nowhere|settings|panel)$|^run-/.test(name))
    for (const [name, path] of paths) {
      server.stats.fail = true
      await page.goto(server.url + path)
      const alert = page.getByRole('alert').first()
      await alert
        .getByText('The server failed (500). Its log says why.')
        .or(alert.getByText('Internal Server Error'))
        .first()
        .waitFor()
      assert.equal(await page.locator('h1').count(), 1, `${name}: one heading`)
      server.stats.fail = false
      const again = page.getByRole('button', { name: 'Try again' })
      // What lies beside each other is asked for apart.
      await until(`${name} to be tried again`, async () => {
        if (!(await again.count())) return true
        await again
          .first()
          .click()
          .catch(() => {})
        return false
      })
      await page.locator('[aria-busy=true]').first().waitFor({ state: 'detached' })
      assert.equal(await page.getByRole('alert').count(), 0, `${name}: shown after all`)
    }
  })

  await story('what could not be read anew says so, and is read when somebody asks', async (page, server) => {
    await page.goto(`${server.url}/deployments`)
    await page.locator('[data-row]').first().waitFor()
    await page.locator('[data-link=live]').first().waitFor()
    server.stats.fail = true
    server.emit([{ kind: 'deployment', id: 'any' }])
    await page.getByText('Not up to date').waitFor()
    assert.ok(await page.locator('[data-row]').first().isVisible(), 'what there was can be read')
    server.stats.fail = false
    await page.getByRole('button', { name: 'Try again' }).click()
    await page.getByText('Not up to date').waitFor({ state: 'detached' })
  })
}
