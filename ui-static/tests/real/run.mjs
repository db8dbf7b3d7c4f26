// The tutorial, acted in a browser against the real server with a real agent.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { teller, until } from '../story.mjs'
import { Server, binary } from './server.mjs'
import { showcase } from './showcase.mjs'

// Marks runs late at once, so that the story need not wait for what it is not about.
const QUICK = {
  PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS: '1',
  PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS: '1',
  PREFECT_AGENT_QUERY_INTERVAL: '1',
  PREFECT_LOGGING_TO_API_BATCH_INTERVAL: '0.2',
}
const { story, end, context } = await teller((options) =>
  Server.start({ ...options, env: { ...QUICK, ...options.env } }),
)

// A flow of the tutorial: an API that fails while a file is there.
const ETL =
  'echo "calling the API"; if [ -e "$PREFECT_HOME/api-is-down" ]; then echo "the API answers 500"; exit 1; fi; echo "wrote 3 rows"'

const ended = (server, count) =>
  until(
    `${count} ended runs`,
    async () =>
      (
        await server.api('POST', '/flow_runs/filter', {
          flow_runs: { state: { type: { any_: ['COMPLETED', 'FAILED'] } } },
        })
      ).length >= count,
  )

await story(
  'the tutorial: failed and green bars, a log, Quick Run, yellow, Late, an agent, green, and again',
  async (page, server) => {
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
    const bar = page.getByRole('button', {
      name: /Completed flow runs: 1, .*Failed flow runs: 1|Failed flow runs: 1, .*Completed flow runs: 1|Completed flow runs: 1.*Failed flow runs: 1/,
    })
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
    await page
      .getByRole('button', { name: /Completed flow runs: 2/ })
      .first()
      .waitFor()
    await page.locator('.seg[data-tone=late]').waitFor({ state: 'detached' })

    // And again, from the keyboard, with the agent there.
    await page.keyboard.press('g')
    await page.keyboard.press('p')
    // Rows of flows have no Quick Run, so this is the deployments' page.
    await page.locator('[data-row] [data-quick]').first().waitFor()
    await page.keyboard.press('j')
    // The notice of the first run must not be taken for that of the second.
    await page.getByText('Flow run scheduled').waitFor({ state: 'detached' })
    await page.keyboard.press('q')
    await page.getByText('Flow run scheduled').waitFor()
    await page.keyboard.press('g')
    await page.keyboard.press('d')
    await page
      .getByRole('button', { name: /Completed flow runs: 3/ })
      .first()
      .waitFor()
    // A queue that an agent polls says so.
    await page.goto(`${server.url}/work-queues`)
    await page.locator('[data-row]').first().waitFor()
    assert.doesNotMatch(await page.locator('main').innerText(), /never/i)
    await server.stop(again)
  },
  { patience: 20_000 },
)

await story(
  'what happens between the first answer and the stream of changes is seen',
  async (page, server) => {
    const deployment = await server.deploy({ flow: 'Quiet flow', name: 'quiet', script: 'echo hello' })
    // The stream is opened only after the run was made, and nothing happens from then on. What a worker asks for cannot
    // be held back from here.
    await page.addInitScript(() => delete window.SharedWorker)
    let made = null
    await page.route('**/api/ui/stream', async (route) => {
      made ??= page
        .getByRole('link', { name: 'Quiet flow' })
        .waitFor()
        .then(() =>
          server.api('POST', `/deployments/${deployment}/create_flow_run`, {
            state: {
              type: 'SCHEDULED',
              state_details: { scheduled_time: new Date(Date.now() + 3600e3).toISOString() },
            },
          }),
        )
      await made
      await route.continue()
    })
    await page.goto(server.url)
    await page
      .getByRole('button', { name: /Scheduled flow runs: 1/ })
      .first()
      .waitFor()
  },
  { patience: 20_000 },
)

await story(
  'a server that goes away shows, and what happened meanwhile is there when it is back',
  async (page, server) => {
    const deployment = await server.deploy({ flow: 'Quiet flow', name: 'quiet', script: 'echo hello' })
    await page.goto(server.url)
    await page.locator('[data-link=live]').first().waitFor()
    await server.stop(server.process, 'SIGKILL')
    await page.locator('[data-link=polling], [data-link=offline]').first().waitFor()
    await server.launch()
    await server.api('POST', `/deployments/${deployment}/create_flow_run`, {})
    await page.locator('[data-link=live]').first().waitFor()
    await page
      .getByRole('button', { name: /(Scheduled|Late) flow runs: 1/ })
      .first()
      .waitFor()
  },
  { patience: 30_000 },
)

await story(
  'eight windows see a run that is made, and the eighth starts the next',
  async (page, server) => {
    const deployment = await server.deploy({ flow: 'Quiet flow', name: 'quiet', script: 'echo hello' })
    // More windows than a browser has connections to a server.
    const pages = [page]
    while (pages.length < 8) pages.push(await context.newPage())
    for (const one of pages) {
      one.setDefaultTimeout(30_000)
      await one.goto(`${server.url}/deployment/${deployment}?tab=upcoming`)
      await one.locator('[data-link=live]').first().waitFor()
    }
    await server.api('POST', `/deployments/${deployment}/create_flow_run`, { name: 'seen-in-all' })
    for (const one of pages) await one.getByRole('link', { name: 'seen-in-all' }).first().waitFor()
    await pages.at(-1).getByRole('button', { name: 'Quick Run' }).click()
    const notice = pages.at(-1).getByRole('status').filter({ hasText: 'Flow run scheduled' })
    await notice.waitFor()
    // When the server goes and comes back, so does each window.
    await server.stop(server.process, 'SIGKILL')
    for (const one of pages) await one.locator('[data-link=polling], [data-link=offline]').first().waitFor()
    await server.launch()
    await server.api('POST', `/deployments/${deployment}/create_flow_run`, { name: 'after-the-break' })
    for (const one of pages) await one.getByRole('link', { name: 'after-the-break' }).first().waitFor()
    for (const one of pages.slice(1)) await one.close()
  },
  { patience: 30_000 },
)

await story(
  'under a base path everything is found, and a proxy may take it off or leave it',
  async (page, server) => {
    await server.deploy({ flow: 'Quiet flow', name: 'quiet', script: 'echo hello' })
    await page.goto(`${server.origin}/flows/ops/`)
    await page.getByRole('link', { name: 'Quiet flow' }).waitFor()
    await page.locator('[data-link=live]').first().waitFor()
    await page.getByRole('link', { name: 'Deployments' }).first().click()
    await page.locator('[data-row]').first().waitFor()
    assert.match(page.url(), /\/flows\/ops\/deployments$/)
    await page.reload()
    await page.locator('[data-row]').first().waitFor()
  },
  { env: { PREFECT_UI_SERVE_BASE: '/flows/ops' } },
)

await story(
  'a server that asks for credentials is signed in to, in this tab, the stream of changes too',
  async (page, server) => {
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
    await page
      .getByRole('button', { name: /(Scheduled|Late) flow runs: 1/ })
      .first()
      .waitFor()
    await page.reload()
    await page.getByRole('link', { name: 'Quiet flow' }).waitFor()
    assert.equal(await page.evaluate(() => Object.keys(localStorage).filter((key) => /cred/i.test(key)).length), 0)
  },
  { env: { PREFECT_SERVER_API_AUTH_STRING: 'admin:pass', PREFECT_API_AUTH_STRING: 'admin:pass' } },
)

await story(
  'a server that wants CSRF tokens gets them without a word',
  async (page, server) => {
    await page.goto(server.url)
    await page.getByText('prefect-rs agent start').first().waitFor()
  },
  { env: { PREFECT_SERVER_CSRF_PROTECTION_ENABLED: 'true' } },
)

await story(
  'who does not sign in sees why, is not asked again, and comes in from there',
  async (page, server) => {
    server.headers = { authorization: `Basic ${btoa('admin:pass')}` }
    await server.deploy({ flow: 'Quiet flow', name: 'quiet', script: 'echo hello' })
    const signIn = async (password) => {
      const dialog = page.getByRole('dialog', { name: 'Sign in' })
      await dialog.getByLabel('User').fill('admin')
      await dialog.getByLabel('Password').fill(password)
      await page.keyboard.press('Enter')
    }
    await page.goto(`${server.url}/concurrency-limits`)
    await page.getByRole('button', { name: 'Not now' }).click()
    await page.getByRole('heading', { level: 1, name: 'Sign in to see this' }).waitFor()
    assert.equal(await page.getByRole('main').getByRole('textbox').count(), 0, 'nothing there that would be refused')
    await page.locator('[data-link=barred]').first().waitFor()
    await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click()
    await signIn('wrong')
    await page.getByText('The server did not take that.').waitFor()
    assert.equal(await page.getByRole('dialog').getByLabel('User').inputValue(), 'admin', 'the name is kept')
    await signIn('pass')
    await page.getByRole('heading', { level: 1, name: 'Concurrency limits' }).waitFor()
    await page.locator('[data-link=live]').first().waitFor()
    // What the tab signed in with is no longer taken: what is seen stays, and says so once.
    await page.getByRole('link', { name: 'Deployments' }).first().click()
    await page.getByRole('link', { name: 'quiet', exact: true }).waitFor()
    await page.route('**/api/**', (route) =>
      route.fulfill({ status: 401, contentType: 'application/json', body: '{"exception_message":"Unauthorized"}' }),
    )
    await page
      .getByRole('switch')
      .or(page.getByRole('button', { name: 'Quick Run' }))
      .first()
      .click()
    await page.getByText('The server no longer takes what this tab signed in with.').waitFor()
    await page.keyboard.press('Escape')
    await page.getByText('You are signed out.').waitFor()
    assert.ok(
      await page.getByRole('link', { name: 'quiet', exact: true }).isVisible(),
      'what was there can still be read',
    )
    await page.unroute('**/api/**')
    await page.getByRole('main').getByRole('button', { name: 'Sign in' }).click()
    await signIn('pass')
    await page.getByText('You are signed out.').waitFor({ state: 'detached' })
  },
  { env: { PREFECT_SERVER_API_AUTH_STRING: 'admin:pass', PREFECT_API_AUTH_STRING: 'admin:pass' } },
)

await story(
  'the commands of an empty server, copied into a shell, lead to the first green bar',
  async (page, server) => {
    await page.goto(server.url)
    await page.getByText('prefect-rs agent start').first().waitFor()
    const blocks = await page.getByRole('main').locator('.cmd code, .block pre').allInnerTexts()
    assert.equal(blocks.length, 5)
    // A shell that knows the server only by what it is told here.
    const { PREFECT_API_URL: _, ...env } = server.env
    await writeFile(
      join(server.home, 'commands.sh'),
      `set -e\nprefect-rs() { ${JSON.stringify(binary())} "$@"; }\n${blocks.slice(0, -1).join('\n')}\n`,
    )
    execFileSync('bash', ['commands.sh'], { cwd: server.home, env })
    await page.getByRole('link', { name: 'Hello' }).click()
    await page
      .getByRole('complementary')
      .or(page.getByRole('dialog'))
      .getByRole('button', { name: 'Quick Run' })
      .click()
    await page.getByText('Flow run scheduled').waitFor()
    assert.equal(blocks.at(-1), 'prefect-rs agent start etl-queue')
    server.agent('etl-queue')
    await page
      .getByRole('button', { name: /Completed flow runs: 1/ })
      .first()
      .waitFor()
  },
  { patience: 30_000 },
)

await story('a task run is deleted, and its run is shown without it', async (page, server) => {
  const flow = (await server.api('POST', '/flows/', { name: 'Of steps' })).id
  const run = (await server.api('POST', '/flow_runs/', { flow_id: flow, name: 'sole-run', state: { type: 'RUNNING' } }))
    .id
  const task = (
    await server.api('POST', '/task_runs/', {
      flow_run_id: run,
      task_key: 'step',
      dynamic_key: '0',
      name: 'step-0',
      state: { type: 'COMPLETED' },
    })
  ).id
  await page.goto(`${server.url}/task-run/${task}`)
  await page.getByRole('button', { name: 'Delete the task run' }).click()
  await page.getByRole('dialog', { name: 'Delete step-0?' }).getByRole('button', { name: 'Delete task run' }).click()
  await page.getByRole('heading', { level: 1, name: 'sole-run' }).waitFor()
  await page.getByRole('status').filter({ hasText: 'step-0 deleted' }).waitFor()
  const left = await server.api('POST', '/task_runs/filter', { flow_runs: { id: { any_: [run] } } })
  assert.deepEqual(left, [])
})

await story('a work pool says who polls and what waits, and why a run in it does', async (page, server) => {
  await page.goto(`${server.url}/work-pools`)
  await page.getByRole('button', { name: 'New pool' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Name').fill('cluster')
  await dialog.getByLabel('Type').fill('kubernetes')
  await dialog.getByRole('button', { name: 'Create' }).click()
  await page.getByText('No worker polls this pool.').waitFor()
  await page.getByRole('button', { name: 'New queue' }).click()
  await dialog.getByLabel('Name').fill('urgent')
  await dialog.getByLabel('Concurrency limit').fill('2')
  await dialog.getByRole('button', { name: 'Create' }).click()
  await page.getByRole('switch', { name: 'Queue urgent' }).waitFor()
  const flow = (await server.api('POST', '/flows/', { name: 'In the cluster' })).id
  const deployment = (
    await server.api('POST', '/deployments/', {
      name: 'prod',
      flow_id: flow,
      work_pool_name: 'cluster',
      work_queue_name: 'urgent',
    })
  ).id
  const run = (await server.api('POST', `/deployments/${deployment}/create_flow_run`, {})).id
  // Live: nobody reloads.
  await page.getByRole('tab', { name: /Waiting 1/ }).waitFor()
  await page.goto(`${server.url}/flow-run/${run}`)
  await page.getByText('No worker polls work pool cluster.').waitFor()
  await page.getByText('prefect worker start --pool cluster').waitFor()
  await page.getByRole('link', { name: 'Show' }).click()
  await page.getByRole('heading', { level: 1, name: 'cluster' }).waitFor()
  await server.api('POST', '/work_pools/cluster/workers/heartbeat', { name: 'w-1' })
  await page.getByText(/No worker (polls|has polled) this pool/).waitFor({ state: 'detached' })
  await page.getByRole('switch', { name: 'Work pool cluster' }).click()
  await page.getByText('Paused').first().waitFor()
  await page.goto(`${server.url}/flow-run/${run}`)
  await page.getByText('Work pool cluster is paused.').waitFor()
})

await story(
  'the event feed is live, is filtered by what happened and to what, and goes back page by page',
  async (page, server) => {
    await showcase(server)
    await page.goto(`${server.url}/events?event=acme.*`)
    await page.locator('.event').nth(40).waitFor()
    const total = 51
    await page.getByText(`${total} events`).waitFor()
    await page.getByRole('button', { name: 'Older events' }).click()
    await page.waitForFunction((n) => document.querySelectorAll('.event').length === n, total)
    await server.api('POST', '/events', [
      {
        occurred: new Date().toISOString(),
        event: 'acme.order.paid',
        resource: { 'prefect.resource.id': 'acme.order.new', 'prefect.resource.name': 'Order new' },
        related: [],
        payload: { by: 'card' },
        id: crypto.randomUUID(),
      },
    ])
    await page.locator('.event').first().getByText('paid').waitFor()
    assert.equal(await page.locator('.event').count(), total + 1, 'what was read before stays')
    await page.getByRole('button', { name: 'Everything that acme.order.paid said' }).click()
    await page.getByText('"by": "card"').waitFor()
    await page.getByRole('button', { name: 'Only this resource' }).click()
    await page.getByText('1 event', { exact: true }).waitFor()
    assert.match(page.url(), /resource=acme\.order\.new/)
    await page.getByRole('button', { name: /Take away event/ }).click()
    await page.getByRole('textbox', { name: 'Filter events' }).fill('prefect.flow-run.*')
    await page.keyboard.press('Enter')
    await page.getByText('No events match').waitFor()
    assert.equal(await page.evaluate(() => window.__hacked), undefined)
  },
)

await story(
  'artifacts show the latest of a key first, and nothing of a flow becomes an element or asks another host',
  async (page, server) => {
    const { runs } = await showcase(server)
    const foreign = []
    page.on(
      'request',
      (r) => new URL(r.url()).origin !== server.origin && !r.url().startsWith('data:') && foreign.push(r.url()),
    )
    await page.goto(`${server.url}/artifacts`)
    await page.locator('[data-row]').nth(4).waitFor()
    await page.getByRole('link', { name: 'report' }).click()
    await page.getByRole('heading', { name: 'Orders' }).waitFor()
    await page.getByText('<script>window.__hacked = 1</script>').waitFor()
    await page.getByRole('cell', { name: '47' }).waitFor()
    await page.getByText('Under this key').waitFor()
    await page.getByRole('complementary').getByRole('listitem').last().getByRole('link').first().click()
    await page.getByText('There is a newer one.').waitFor()
    await page.goto(`${server.url}/artifacts?type=table`)
    await page.getByRole('link', { name: 'orders' }).click()
    await page.getByRole('columnheader', { name: 'customer' }).waitFor()
    await page.goto(`${server.url}/flow-run/${runs[0]}?tab=artifacts`)
    await page.getByRole('progressbar', { name: 'loading' }).waitFor()
    await page.getByText('Pictures of other hosts are not loaded.').waitFor()
    assert.equal(await page.evaluate(() => window.__hacked), undefined)
    assert.deepEqual(foreign, [])
  },
)

await story(
  'a search of runs in a pool is kept on the server, and several runs are cancelled at once',
  async (page, server) => {
    const { runs } = await showcase(server)
    await page.goto(`${server.url}/runs?pool=kubernetes-prod`)
    await page.getByText('4 runs').waitFor()
    await page.getByRole('button', { name: 'Saved searches' }).click()
    await page.getByLabel('Name of the search').fill('in the cluster')
    await page.keyboard.press('Enter')
    await page.getByText('Search in the cluster saved').waitFor()
    await page.goto(`${server.url}/runs`)
    await page.getByRole('button', { name: 'Saved searches' }).click()
    await page.getByRole('button', { name: /^in the cluster/ }).click()
    await page.getByText('4 runs').waitFor()
    await page.goto(`${server.url}/runs?state=Running&state=Scheduled&state=Late`)
    await page.getByText('2 runs').waitFor()
    await page.getByRole('button', { name: 'Select these' }).click()
    await page.getByRole('button', { name: 'Cancel', exact: true }).click()
    await page.getByRole('button', { name: 'Cancel runs' }).click()
    await page.getByText('2 runs cancelled').waitFor()
    const states = (await server.api('POST', '/flow_runs/filter', { flow_runs: { id: { any_: runs } } }))
      .map((r) => r.state_type)
      .sort()
    // What runs is ended by whoever runs it, or at once where nobody does; what was over stays what it was.
    assert.deepEqual(
      states.filter((state) => !/^CANCELL/.test(state)),
      ['COMPLETED', 'FAILED'],
    )
  },
)

await story('what is known by its id is called by its name, with the way there', async (page, server) => {
  const { automations, deployment, runs } = await showcase(server)
  await page.goto(`${server.url}/automation/${automations[1]}`)
  await page.getByText('When deployment not ready of deployment daily-bremen happens').waitFor()
  await page.getByText('Send “Late” through block ops-chat').waitFor()
  await page.getByText('Run deployment daily-bremen').getByRole('link', { name: 'daily-bremen' }).click()
  await page.getByRole('heading', { level: 1, name: 'daily-bremen' }).waitFor()
  await page.goto(`${server.url}/artifacts`)
  const { name } = await server.api('GET', `/flow_runs/${runs[0]}`)
  await page.getByRole('link', { name }).first().click()
  await page.getByRole('heading', { level: 1, name }).waitFor()
  await page.goto(`${server.url}/automations`)
  await page.getByRole('link', { name: 'daily-bremen' }).first().waitFor()
  // What is gone says so.
  await server.api('DELETE', `/deployments/${deployment}`)
  await page.reload()
  await page.getByText('(gone)').first().waitFor()
})

/** Waits for the only run of a name and opens its page. */
async function openRun(page, server, name) {
  const found = await until(
    `the run ${name}`,
    async () => (await server.api('POST', '/flow_runs/filter', { flow_runs: { name: { any_: [name] } } }))[0],
    60_000,
  )
  await page.goto(`${server.url}/flow-run/${found.id}`)
  return found.id
}

await story(
  'a genuine flow asks a person: it is resumed with input from its schema, and its artifacts and results are shown',
  async (page, server) => {
    const client = await server.genuine('3.8', 'newer.py', 'asks')
    const id = await openRun(page, server, 'asks-a-person')
    await page.locator('h1 + .pill').getByText('Paused').waitFor()
    await page.getByText('It is paused until somebody resumes it.').waitFor()
    await page.getByRole('button', { name: 'Resume…' }).click()
    const dialog = page.getByRole('dialog')
    // The description is Markdown, and the schema has a default.
    await dialog.locator('strong', { hasText: 'total' }).waitFor()
    await dialog.getByRole('button', { name: 'Resume' }).click()
    await dialog.getByText('Needed', { exact: true }).waitFor()
    await dialog.getByLabel(/^approved/i).selectOption('true')
    await dialog.getByLabel(/^reason/i).fill('sums match')
    await dialog.getByRole('button', { name: 'Resume' }).click()
    await page.getByText('asks-a-person goes on').waitFor()
    await page.locator('h1 + .pill').getByText('Completed').waitFor()
    await page.getByText('approved: True, because sums match').waitFor()
    assert.equal((await server.api('GET', `/flow_runs/${id}`)).state_type, 'COMPLETED')
    await page.getByRole('tab', { name: 'Artifacts' }).click()
    await page.getByRole('heading', { name: 'Totals' }).waitFor()
    await page.getByText('<b>no element</b>').waitFor()
    await page.getByRole('columnheader', { name: 'order' }).waitFor()
    await page.getByRole('progressbar', { name: 'rows' }).waitFor()
    assert.equal(await page.getByRole('progressbar', { name: 'rows' }).getAttribute('aria-valuenow'), '100')
    await page.getByRole('tab', { name: 'Results' }).click()
    await page.getByText('The flow run', { exact: true }).waitFor()
    await page.getByText('Kept as').first().waitFor()
    assert.match(await page.locator('[role=tabpanel] li').first().innerText(), /Written by\s+pickle/)
    await server.stop(client)
  },
  { patience: 60_000 },
)

await story('a progress that moves and a variable that a flow sets are seen without a reload', async (page, server) => {
  const made = await server.api('POST', '/artifacts/', { key: 'loading', type: 'progress', data: 12.5 })
  await page.goto(`${server.url}/artifact/${made.id}`)
  await page.getByText('12.5%').waitFor()
  let asked = 0
  page.on('request', (r) => r.url().includes('/api/') && asked++)
  await server.api('PATCH', `/artifacts/${made.id}`, { data: 80 })
  await page.getByText('80%').waitFor()
  await page.goto(`${server.url}/variables`)
  await page.getByText('No variables yet').waitFor()
  await server.api('POST', '/variables/', { name: 'threshold', value: 7 })
  await page.getByText('threshold').waitFor()
  await server.api('DELETE', '/variables/name/threshold')
  await page.getByText('No variables yet').waitFor()
  asked = 0
  await page.goto(`${server.url}/artifacts`)
  await page.getByRole('link', { name: 'loading' }).waitFor()
  // Its first answers do not say since when changes are to be told, so it looks once more when its stream begins.
  for (let i = 0; i < 100 && asked < 5; i++) await page.waitForTimeout(100)
  asked = 0
  await page.waitForTimeout(3000)
  assert.equal(asked, 0, 'nobody asks where nothing changes')
  await server.api('POST', '/artifacts/', { key: 'report', type: 'markdown', data: '# Hi' })
  await page.getByRole('link', { name: 'report' }).waitFor()
})

await story(
  'a run of 2.20 is paused under way: its next task waits, and goes on when it is resumed',
  async (page, server) => {
    const gate = join(server.home, 'gate')
    await server.genuine('2.20', 'older.py', gate)
    const id = await openRun(page, server, 'two-steps')
    await page.locator('h1 + .pill').getByText('Running').waitFor()
    const states = async () =>
      Object.fromEntries(
        (await server.api('POST', '/task_runs/filter', { flow_runs: { id: { any_: [id] } } })).map((t) => [
          t.name.split('-')[0],
          t.state_name,
        ]),
      )
    await until('the first task', async () => (await states()).first === 'Running', 60_000)
    await page.getByRole('button', { name: 'Pause…' }).click()
    await page.getByRole('dialog').getByRole('button', { name: 'Pause', exact: true }).click()
    await page.locator('h1 + .pill').getByText('Paused').waitFor()
    await writeFile(gate, '')
    await until('the second task to be held', async () => (await states()).second === 'NotReady', 30_000)
    assert.equal((await states()).first, 'Completed', 'what was under way went on')
    await page.getByRole('button', { name: 'Resume' }).click()
    await page.locator('h1 + .pill').getByText('Completed').waitFor()
    assert.deepEqual(await states(), { first: 'Completed', second: 'Completed' })
  },
  { patience: 60_000 },
)

await story(
  'a script is paused between its steps, for no longer than somebody says',
  async (page, server) => {
    const self = binary()
    const step = (name) => `ID=$(${self} task-run start ${name}); ${self} task-run complete $ID`
    await server.deploy({
      flow: 'Two steps',
      name: 'steps',
      script: `${step('First')}; until [ -e "$PREFECT_HOME/go" ]; do sleep 0.1; done; ${step('Second')}; echo "both done"`,
      tags: ['ETL'],
    })
    await server.run('work-queue', 'create', '-t', 'ETL', 'etl-queue')
    server.agent('etl-queue')
    const pause = async (wait) => {
      await server.run('deployment', 'run', 'Two steps/steps')
      const [run] = await until('the run', async () => {
        const found = await server.api('POST', '/flow_runs/filter', {
          flow_runs: { state: { type: { any_: ['RUNNING'] } } },
        })
        return found.length && found
      })
      await page.goto(`${server.url}/flow-run/${run.id}`)
      await page.getByRole('button', { name: 'Pause…' }).click()
      if (wait)
        await page
          .getByRole('dialog')
          .getByLabel(/Wait for somebody/)
          .selectOption({ label: wait })
      await page.getByRole('dialog').getByRole('button', { name: 'Pause', exact: true }).click()
      await page.locator('h1 + .pill').getByText('Paused').waitFor()
      return run.id
    }
    const id = await pause('10 minutes')
    const { state } = await server.api('GET', `/flow_runs/${id}`)
    assert.ok(Math.abs(Date.parse(state.state_details.pause_timeout) - Date.now() - 600e3) < 60e3)
    await writeFile(join(server.home, 'go'), '')
    await until(
      'the second step to be held',
      async () =>
        (await server.api('POST', '/task_runs/filter', { task_runs: { state: { name: { any_: ['NotReady'] } } } }))
          .length,
    )
    await page.getByRole('button', { name: 'Resume' }).click()
    await page.locator('h1 + .pill').getByText('Completed').waitFor()
    await page.getByText('both done').waitFor()
  },
  { patience: 40_000 },
)

await story(
  'a full limit says who holds its slot and who waits, and is live',
  async (page, server) => {
    await server.api('POST', '/concurrency_limits/', { tag: 'warehouse', concurrency_limit: 1 })
    await server.api('POST', '/v2/concurrency_limits/', { name: 'mail', limit: 5 })
    const gate = join(server.home, 'gate')
    await server.genuine('3.8', 'newer.py', 'slot', 'has-it', gate)
    await page.goto(`${server.url}/concurrency-limits`)
    const holds = page.getByRole('list', { name: 'Who holds slots of warehouse' })
    await holds.getByRole('link', { name: 'has-it', exact: true }).waitFor()
    await holds.getByRole('link', { name: 'flow-that-has-it' }).waitFor()
    // Who asks for slots of a name need not say who it is, and genuine flows do not.
    await page
      .getByRole('list', { name: 'Who holds slots of mail' })
      .getByText('a client that does not say who it is')
      .waitFor()
    await server.genuine('3.8', 'newer.py', 'slot', 'wants-it', gate)
    const waits = page.getByRole('list', { name: 'Who waits for slots of warehouse' })
    // A task run gets its own name when it begins.
    await waits.getByRole('link', { name: 'flow-that-wants-it' }).waitFor()
    await page.getByText('1 of 1').waitFor()
    // Both are done, one after the other, and the page knows without a reload.
    await writeFile(gate, '')
    await page.getByText('0 of 1').waitFor()
    await waits.waitFor({ state: 'detached' })
  },
  { patience: 90_000 },
)

await story(
  'an agent that goes away is missed without a reload, and one that stays is not',
  async (page, server) => {
    await server.run('work-queue', 'create', '-t', 'ETL', 'etl-queue')
    await page.goto(`${server.url}/work-queues`)
    await page.getByText('Never polled').waitFor()
    const agent = server.agent('etl-queue')
    await page.getByText('1 agent polling').waitFor()
    // Longer than the server's patience: who polls on is still there, though nothing else happens.
    await page.waitForTimeout(40_000)
    await page.getByText('1 agent polling').waitFor({ timeout: 100 })
    await server.stop(agent, 'SIGKILL')
    await page.getByText(/^Last polled/).waitFor()
  },
  { patience: 60_000 },
)

await end()
