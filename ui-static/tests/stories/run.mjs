// Stories in a real browser, over the built dashboard and made-up data: each says what a person does and sees.

import assert from 'node:assert/strict'
import { start } from '../mock/server.mjs'
import { teller, until } from '../story.mjs'
import { forms } from './forms.mjs'
import { hasty } from './hasty.mjs'
import { look } from './look.mjs'
import { night } from './night.mjs'
import { slow } from './slow.mjs'
import { windows } from './windows.mjs'

const { story, end, context } = await teller(start)

await story('the first page asks the API at most four times and shows late runs as late', async (page, server) => {
  await page.goto(server.url)
  await page.getByRole('heading', { level: 1, name: 'Dashboard' }).waitFor()
  const bar = page.getByRole('button', { name: /Late flow runs: 3/ })
  await bar.first().waitFor()
  await bar.first().focus()
  await page.getByText('Late flow runs', { exact: true }).waitFor()
  assert.ok(server.stats.requests.length <= 4, `requests: ${server.stats.requests}`)
})

await story('the server is asked while the script of the page is still on its way', async (page, server) => {
  let asked = false
  page.on('request', (r) => r.url().endsWith('/ui/overview') && (asked = true))
  // The script does not arrive before the question was sent.
  await page.route(/\/assets\/first-.*\.js$/, async (route) => {
    await until('the question', () => asked)
    await route.continue()
  })
  for (const path of ['/', '/flows?state=Late&last=1w#flow_runs']) {
    asked = false
    server.stats.requests.length = 0
    await page.goto(server.url + path)
    await page.locator('rect.seg').first().waitFor()
    // What was asked ahead is what is shown: nobody asks twice.
    assert.equal(
      server.stats.requests.filter((r) => r.endsWith('/ui/overview')).length,
      1,
      `requests: ${server.stats.requests}`,
    )
  }
})

await story('paused and pending runs are not told as running', async (page, server) => {
  const db = server.db()
  await page.goto(server.url)
  const count = async (name) =>
    Number(
      /\d+/.exec(await page.getByRole('group', { name: 'Runs by state' }).getByRole('button', { name }).innerText())[0],
    )
  await page.locator('rect.seg').first().waitFor()
  const inWindow = (types) =>
    db.runs.filter(
      (r) =>
        types.includes(r.state_type) &&
        r.state_name !== 'Late' &&
        Math.abs(Date.parse(r.expected_start_time) - Date.now()) < 86400e3,
    ).length
  assert.ok(inWindow(['PAUSED']) > 0)
  assert.equal(await count(/Paused/), inWindow(['PAUSED']))
  assert.equal(await count(/Running/), inWindow(['RUNNING', 'CANCELLING']))
  await page.getByRole('button', { name: /\d+ Paused/ }).click()
  await page.getByRole('tab', { name: /Flow runs/ }).click()
  await page.getByRole('link', { name: db.paused.name }).waitFor()
})

await story('a run page is a handful of files', async (page, server) => {
  const files = []
  page.on('request', (r) => r.url().includes('/assets/') && files.push(r.url().split('/').pop()))
  await page.goto(`${server.url}/flow-run/${server.db().pretty.id}`)
  await page.locator('canvas').waitFor()
  await page.getByRole('log').waitFor()
  // The last is the worker that has the stream, fetched when the page is there.
  assert.ok(files.length <= 9, files.join(' '))
})

await story('a card filters by state and the list agrees', async (page, server) => {
  await page.goto(server.url)
  await page.getByRole('button', { name: /3 Late/ }).click()
  await page.getByRole('tab', { name: /Flow runs 3/ }).click()
  // The list of the tab before stands until this one's rows have come.
  await page.waitForFunction(() => document.querySelectorAll('[data-row]').length === 3)
  assert.match(page.url(), /state=Late/)
})

await story('Quick Run from the panel names the run, and the new bar appears without reload', async (page, server) => {
  await page.goto(server.url)
  await page.getByRole('link', { name: 'Previously unreliable pipeline' }).click()
  assert.match(page.url(), /panel=flow/)
  await page.getByRole('dialog').getByRole('button', { name: 'Quick Run' }).click()
  const toast = page.getByRole('status').filter({ hasText: 'Flow run scheduled' })
  await toast.waitFor()
  await page.getByText('15', { exact: true }).first().waitFor()
  await toast.getByRole('link', { name: 'View run' }).click()
  await page.getByText('Why is it not running?').waitFor()
  await page.locator('strong').getByText('No agent polls the work queue etl-queue.').waitFor()
})

await story('Esc closes the panel and gives the focus back', async (page, server) => {
  await page.goto(server.url)
  const link = page.getByRole('link', { name: 'Churn model training' })
  await link.focus()
  await page.keyboard.press('Enter')
  await page.getByRole('dialog').waitFor()
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  assert.ok(await link.evaluate((node) => node === document.activeElement))
})

await story('a run turns green before the eyes', async (page, server) => {
  const db = server.db()
  await page.goto(`${server.url}/flow-run/${db.live.id}`)
  await page.locator('h1 + .pill').getByText('Running').waitFor()
  db.state(db.live, 'COMPLETED', Date.now(), null, 'All states completed.')
  db.live.end_time = new Date().toISOString()
  server.emit([{ kind: 'flow_run', id: db.live.id, state_type: 'COMPLETED', state_name: 'Completed' }])
  await page.locator('h1 + .pill').getByText('Completed').waitFor()
})

await story('a finished run asks nothing more', async (page, server) => {
  await page.goto(`${server.url}/flow-run/${server.db().pretty.id}`)
  await page.getByText("Using task runner 'ConcurrentTaskRunner'").waitFor()
  const before = server.stats.requests.length
  server.emit([{ kind: 'flow_run', id: 'another', state_type: 'RUNNING' }])
  await page.waitForTimeout(2500)
  assert.equal(server.stats.requests.length, before)
})

await story('among 500 tasks the one that failed is the first thing said', async (page, server) => {
  await page.goto(`${server.url}/flow-run/${server.db().wide.id}`)
  await page.getByText('1 of 502 failed:').waitFor()
  await page.getByRole('link', { name: 'Process chunk-287' }).first().waitFor()
})

await story('100,000 log lines scroll and are searched', async (page, server) => {
  await page.goto(`${server.url}/flow-run/${server.db().wide.id}`)
  await page.getByText('100,000 lines').waitFor()
  await page.getByRole('log').evaluate((node) => (node.scrollTop = node.scrollHeight))
  await page.getByText('Processed row 99999 of').waitFor()
  assert.ok((await page.locator('.line').count()) < 120)
  await page.getByRole('searchbox', { name: 'Search the log' }).fill('has no customer')
  await page.getByText('1 line ').waitFor()
})

await story(
  '10,000 task runs open',
  async (page, server) => {
    const from = Date.now()
    await page.goto(`${server.url}/flow-run/${server.db().wide.id}`)
    await page.locator('canvas').waitFor()
    await page.getByText('of 10,002 failed').waitFor()
    console.log(`     10,000 tasks: drawn after ${Date.now() - from} ms`)
    await page.getByRole('button', { name: 'Dependencies' }).click()
    await page.keyboard.press('f')
  },
  { tasks: 10000 },
)

await story(
  'hostile names stay text',
  async (page, server) => {
    await page.goto(server.url)
    await page.getByText('<img src=x onerror=').first().waitFor()
    await page.goto(`${server.url}/runs`)
    await page.getByText('<script>alert(1)</script>').first().waitFor()
    assert.equal(await page.evaluate(() => window.__hacked), undefined)
    // What would turn a name around is shown where it stands, and turns nothing.
    const flow = server.db().flows.find((f) => f.name.includes('\u202E'))
    await page.goto(`${server.url}/?panel=flow:${flow.id}`)
    await page
      .getByRole('dialog')
      .getByRole('heading', { name: /⟨U\+202E⟩gnp\.exe/ })
      .waitFor()
    assert.doesNotMatch(await page.locator('body').innerText(), /[\u202a-\u202e\u2066-\u2069]/)
  },
  { patience: 15_000 },
)

await story('the keyboard alone goes everywhere', async (page, server) => {
  await page.goto(server.url)
  await page.getByRole('heading', { level: 1 }).waitFor()
  await page.keyboard.press('g')
  await page.keyboard.press('p')
  await page.getByRole('heading', { level: 1, name: 'Deployments' }).waitFor()
  await page.locator('[data-row]').first().waitFor()
  await page.keyboard.press('j')
  await page.keyboard.press('q')
  await page.getByText('Flow run scheduled').waitFor()
  await page.keyboard.press('?')
  await page.getByRole('dialog').getByText('Quick Run').waitFor()
})

await story('each state of a bar is reached by keys, and its runs are shown', async (page, server) => {
  await page.goto(server.url)
  const bar = page
    .locator('[data-bucket]')
    .filter({ has: page.locator('rect.seg:nth-of-type(3)') })
    .first()
  await bar.focus()
  const seen = new Set()
  const count = await bar.locator('rect.seg').count()
  for (let i = 0; i < count; i++) {
    seen.add(await page.locator('figure .tip strong').innerText())
    await page.keyboard.press('ArrowUp')
  }
  assert.equal(seen.size, count, [...seen].join(', '))
  await page.keyboard.press('ArrowDown')
  const last = (await page.locator('figure .tip strong').innerText()).replace(' flow runs', '')
  await page.keyboard.press('Enter')
  await page.waitForURL((url) => url.searchParams.get('state') === last)
})

await story('a search is kept under a name and taken up again', async (page, server) => {
  await page.goto(`${server.url}/runs?state=Late&pool=cluster`)
  await page.getByRole('button', { name: 'Remove pool cluster' }).waitFor()
  await page.getByRole('button', { name: 'Saved searches' }).click()
  await page.getByLabel('Name of the search').fill('late in the cluster')
  await page.keyboard.press('Enter')
  await page.getByText('Search late in the cluster saved').waitFor()
  await page.goto(server.url)
  await page.getByRole('button', { name: 'Saved searches' }).click()
  await page.getByRole('button', { name: /late in the cluster.*state:Late pool:cluster/ }).click()
  assert.match(page.url(), /state=Late&pool=cluster/)
  await page.getByRole('button', { name: 'Remove pool cluster' }).waitFor()
})

await story('a custom run checks its fields', async (page, server) => {
  await page.goto(`${server.url}/deployment/${server.db().deployments[1].id}`)
  await page.getByRole('button', { name: 'Custom run…' }).click()
  await page.getByLabel(/days/).fill('many')
  await page.getByRole('button', { name: 'Run', exact: true }).click()
  await page.getByText('Not a whole number').waitFor()
  await page.getByLabel(/days/).fill('5')
  await page.getByRole('button', { name: 'Run', exact: true }).click()
  await page.getByText('Flow run scheduled').waitFor()
  assert.equal(server.db().runs.at(-1).parameters.days, 5)
})

await story('a paused run is resumed with what it asks for', async (page, server) => {
  await page.goto(`${server.url}/flow-run/${server.db().paused.id}`)
  await page.getByRole('button', { name: 'Resume…' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByText('total').waitFor()
  await dialog.getByRole('button', { name: 'Resume' }).click()
  await dialog.getByText('Needed', { exact: true }).waitFor()
  await dialog.getByLabel(/^approved/i).selectOption('true')
  await dialog.getByLabel(/^reason/i).fill('ok')
  await dialog.getByText('Needs at least 3 characters').waitFor()
  await dialog.getByLabel(/^reason/i).fill('looks fine')
  await dialog.getByRole('button', { name: 'Resume' }).click()
  await page.getByText('patient-yak goes on').waitFor()
  assert.deepEqual(server.db().paused.given, { approved: true, reason: 'looks fine' })
  await page.locator('h1 + .pill').getByText('Running').waitFor()
})

await story('a run under way is paused for as long as somebody says, and goes on', async (page, server) => {
  await page.goto(`${server.url}/flow-run/${server.db().live.id}`)
  await page.getByRole('button', { name: 'Pause…' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel(/Wait for somebody/).selectOption({ label: '1 hour' })
  await dialog.getByText('Then it fails.').waitFor()
  await dialog.getByRole('button', { name: 'Pause', exact: true }).click()
  await page.getByText('sturdy-groundhog is paused').waitFor()
  await page.locator('h1 + .pill').getByText('Paused').waitFor()
  const { state } = server.stats.proposed.at(-1)
  assert.ok(Math.abs(Date.parse(state.state_details.pause_timeout) - Date.now() - 3600e3) < 60e3)
  assert.equal(await page.getByRole('button', { name: 'Pause…' }).count(), 0)
  await page.getByRole('button', { name: 'Resume' }).click()
  await page.locator('h1 + .pill').getByText('Running').waitFor()
})

await story('subflows unfold in the timeline and in lanes, and the address keeps it', async (page, server) => {
  await page.goto(`${server.url}/flow-run/${server.db().pretty.id}`)
  await page.getByRole('button', { name: 'Unfold subflows' }).click()
  // Two levels: a subflow, and one inside it.
  await page.getByLabel(/Graph of 12 task runs/).waitFor()
  assert.match(page.url(), /subflows=1/)
  await page.getByRole('button', { name: 'Lanes' }).click()
  await page.reload()
  await page.getByLabel(/Graph of 12 task runs/).waitFor()
  await page.getByRole('button', { name: 'Fold subflows' }).click()
  await page.getByLabel(/Graph of 5 task runs/).waitFor()
})

await story('a limit says who holds its slots and who waits', async (page, server) => {
  await page.goto(`${server.url}/concurrency-limits`)
  await page
    .getByRole('list', { name: 'Who holds slots of forecast-api' })
    .getByRole('link', { name: 'Render maps-0' })
    .waitFor()
  await page
    .getByRole('list', { name: 'Who waits for slots of forecast-api' })
    .getByRole('link', { name: 'Fetch forecast-3' })
    .waitFor()
  await page.getByRole('list', { name: 'Who holds slots of warehouse' }).getByText('2 slots, for').waitFor()
  await page.getByText('1 slot taken by clients that do not say who they are').waitFor()
  await page.getByText('3 slots were asked for in vain lately').waitFor()
  // A rate's slots come back while one looks, without a request.
  const before = server.stats.requests.length
  await page.getByText(/^[0-8] of 10$/).waitFor()
  assert.equal(server.stats.requests.length, before)
})

await story('with reduced motion nothing moves, and a new theme is there at once', async (page, server) => {
  for (const reducedMotion of ['reduce', 'no-preference']) {
    await page.emulateMedia({ colorScheme: 'light', reducedMotion })
    await page.goto(server.url)
    await page.locator('.attention strong').first().waitFor()
    await page.waitForTimeout(400)
    // The colour of a text deep in the page and the ground under a button, in the frame of the change.
    const seen = await page.evaluate(() => {
      const text = document.querySelector('.attention strong')
      const button = document.querySelector('.attention .btn, .btn')
      document.documentElement.querySelector('[aria-label="Dark colours"]').click()
      return {
        ink: getComputedStyle(text).color,
        ground: getComputedStyle(button).backgroundColor,
        moving: document.getAnimations().length,
      }
    })
    const settled = await page.evaluate(async () => {
      await new Promise((done) => setTimeout(done, 400))
      const text = document.querySelector('.attention strong')
      const button = document.querySelector('.attention .btn, .btn')
      return { ink: getComputedStyle(text).color, ground: getComputedStyle(button).backgroundColor, moving: 0 }
    })
    assert.deepEqual(seen, settled, reducedMotion)
    await page.evaluate(() => localStorage.clear())
  }
})

await story('a lost server is told and heals', async (page, server) => {
  await page.goto(server.url)
  await page.locator('[data-link=live]').first().waitFor()
  server.dropStreams()
  await page.locator('[data-link=polling]').first().waitFor()
  await page.locator('[data-link=live]').first().waitFor()
})

await story('a refused request says so and can be tried again', async (page, server) => {
  server.stats.fail = true
  await page.goto(`${server.url}/work-queues`)
  await page.getByText('This could not be shown').waitFor()
  server.stats.fail = false
  await page.getByRole('button', { name: 'Try again' }).click()
  await page.getByRole('link', { name: 'etl-queue' }).waitFor()
})

await story(
  'an empty server leads through the tutorial',
  async (page, server) => {
    await page.goto(server.url)
    await page.getByText('prefect-rs agent start etl-queue').waitFor()
  },
  { bare: true },
)

await story(
  'it works under a sub-path, and unknown addresses get a page',
  async (page, server) => {
    await page.goto(`${server.url}/no/such`)
    await page.getByRole('heading', { level: 1, name: 'There is no page here' }).waitFor()
    await page.getByRole('link', { name: 'Flow runs' }).first().click()
    assert.match(page.url(), /\/sub\/runs$/)
    await page.locator('[data-row]').first().waitFor()
  },
  { base: '/sub' },
)

await story('nothing scrolls sideways on a phone, every page has one h1 and named controls', async (page, server) => {
  const db = server.db()
  await page.setViewportSize({ width: 390, height: 844 })
  const paths = [
    '/',
    '/runs',
    '/task-runs',
    '/deployments',
    `/deployment/${db.deployments[1].id}`,
    '/work-queues',
    `/work-queue/${db.queues[0].id}`,
    '/blocks',
    '/concurrency-limits',
    '/settings',
    `/flow-run/${db.pretty.id}`,
    `/flow-run/${db.wide.id}`,
    `/?panel=flow:${db.flows[0].id}`,
  ]
  for (const path of paths) {
    await page.goto(server.url + path)
    await page.getByRole('heading', { level: 1 }).waitFor()
    await page.waitForTimeout(250)
    const found = await page.evaluate(() => ({
      wide: document.documentElement.scrollWidth - innerWidth,
      h1: document.querySelectorAll('h1').length,
      nameless: [...document.querySelectorAll('button, a, input, select')]
        .filter(
          (n) =>
            !(
              n.textContent.trim() ||
              n.getAttribute('aria-label') ||
              n.title ||
              n.labels?.length ||
              n.getAttribute('aria-hidden')
            ),
        )
        .map((n) => n.outerHTML.slice(0, 90)),
    }))
    assert.deepEqual({ path, ...found, wide: Math.max(0, found.wide) }, { path, wide: 0, h1: 1, nameless: [] })
  }
})

await hasty(story)
await night(story)
await story('blocks beyond the first page are turned to, and found wherever they are', async (page, server) => {
  const [one] = server.db().blocks
  for (let i = 100; i < 225; i++)
    server.db().blocks.push({ ...one, id: `block-${i}`, name: `bucket-${i}`, is_default: false })
  await page.goto(`${server.url}/blocks`)
  const pages = page.getByRole('navigation', { name: 'Pages of the list' })
  await pages.getByText('1–60 of 127').waitFor()
  assert.equal(
    server.stats.requests.filter((r) => r.includes('blocks')).length,
    1,
    `requests: ${server.stats.requests}`,
  )
  await pages.getByRole('button', { name: 'Last page' }).click()
  await pages.getByText('121–127 of 127').waitFor()
  await page.getByRole('heading', { name: 'bucket-224' }).waitFor()
  assert.equal(await page.evaluate(() => scrollY), 0, 'a page is read from its top')
  await page.getByRole('searchbox', { name: 'Find a block or a type' }).fill('bucket-10')
  await page.waitForFunction(() => document.querySelectorAll('main h2').length === 10)
  assert.doesNotMatch(page.url(), /page=/)
  await page.getByRole('searchbox', { name: 'Find a block or a type' }).fill('local storage')
  await page.getByRole('heading', { name: 'laptop' }).waitFor()
})

await forms(story)
await look(story)
await slow(story)
await windows(story, context)
await end()
