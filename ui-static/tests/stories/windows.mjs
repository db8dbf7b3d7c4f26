// Stories of many windows of one browser: what happens is seen in all of them, and none is in the way of another.

import assert from 'node:assert/strict'
import { until } from '../story.mjs'

/** More windows than a browser has connections to a host over HTTP/1.1. */
const MANY = 8
const CHANGE = [{ kind: 'deployment', id: 'any' }]

export async function windows(story, context) {
  /** Opens so many windows of a page, each prepared; closes them when the story is over. */
  async function open(url, act, prepare = async () => {}) {
    const pages = []
    try {
      for (let i = 0; i < MANY; i++) {
        const page = await context.newPage()
        page.setDefaultTimeout(30_000)
        pages.push(page)
        await prepare(page)
        await page.goto(url)
        await page.locator('[data-row]').first().waitFor()
      }
      await act(pages)
    } finally {
      for (const page of pages) await page.close()
    }
  }
  const isLive = (page) => page.locator('[data-link=live]').first().waitFor({ state: 'attached' })
  const renamed = (server, name) => {
    server.db().deployments[0].name = name
    server.emit(CHANGE)
  }

  // Away from this machine and without HTTPS a browser grants no locks; a worker it does.
  for (const [where, host] of [
    ['on this machine', '127.0.0.1'],
    ['on another, without HTTPS', 'prefect.test'],
  ]) {
    await story(
      `eight windows ${where} hear of a change by one stream, and the eighth is answered`,
      async (_, server) => {
        await open(`${server.url.replace('127.0.0.1', host)}/deployments`, async (pages) => {
          assert.equal(await pages[0].evaluate(() => isSecureContext), host === '127.0.0.1')
          for (const page of pages) await isLive(page)
          assert.equal(server.streams(), 1)
          renamed(server, 'seen-in-all')
          for (const page of pages) await page.getByText('seen-in-all').first().waitFor()
          // A window that comes late is told from where it was, by the stream that is there.
          assert.equal(server.stats.opened, 1)
          await pages.at(-1).getByRole('link', { name: 'Work queues' }).first().click()
          await pages.at(-1).getByRole('link', { name: 'etl-queue' }).waitFor()
          // Those that go take nothing from those that stay.
          for (const page of pages.slice(0, MANY - 1)) await page.close()
          server.emit(CHANGE)
          assert.equal(server.streams(), 1)
          await pages.at(-1).close()
          await until('the stream to end with the last window', () => server.streams() === 0)
        })
      },
    )
  }

  await story('a stream that breaks shows in every window, and is sought by all at once', async (_, server) => {
    await open(`${server.url}/deployments`, async (pages) => {
      for (const page of pages) await isLive(page)
      server.stats.refuse = true
      server.dropStreams()
      for (const page of pages)
        await page.locator('[data-link=polling], [data-link=offline]').first().waitFor({ state: 'attached' })
      const tries = server.stats.refused
      await pages[0].waitForTimeout(4000)
      assert.ok(
        server.stats.refused - tries <= MANY,
        `${server.stats.refused - tries} attempts of eight windows in four seconds`,
      )
      server.stats.refuse = false
      server.stats.opened = 0
      for (const page of pages) await isLive(page)
      assert.equal(server.stats.opened, 1)
      renamed(server, 'after-the-break')
      for (const page of pages) await page.getByText('after-the-break').first().waitFor()
    })
  })

  await story(
    'where no worker can be had, three windows have streams and the others look now and then',
    async (_, server) => {
      const without = (page) => page.addInitScript(() => delete window.SharedWorker)
      await open(
        `${server.url}/deployments`,
        async (pages) => {
          await until('three streams', () => server.streams() === 3)
          renamed(server, 'seen-in-all')
          for (const page of pages) await page.getByText('seen-in-all').first().waitFor()
          assert.equal(server.streams(), 3)
          await pages.at(-1).getByRole('link', { name: 'Work queues' }).first().click()
          await pages.at(-1).getByRole('link', { name: 'etl-queue' }).waitFor()
          // One that goes leaves its place to another.
          const live = []
          for (const page of pages) live.push(await page.locator('[data-link=live]').count())
          await pages[live.findIndex((is) => is > 0)].close()
          await until('another window to have a stream', () => server.streams() === 3)
        },
        without,
      )
    },
  )
}
