// What people make and change in forms, against the real server, which says what is right.

import assert from 'node:assert/strict'
import { teller, until } from '../story.mjs'
import { Server } from './server.mjs'
import { showcase } from './showcase.mjs'

const { story, end } = await teller((options) => Server.start(options))

/** A number that is more than JavaScript can say. */
const DIGITS = '12345678901234567891'

await story('two tabs at the same variable: the second is told before it saves', async (page, server) => {
  await server.api('POST', '/variables/', { name: 'threshold', value: 30 })
  await page.goto(`${server.url}/variables`)
  await page.getByRole('button', { name: 'Edit threshold' }).click()
  await page.locator('[data-link=live]').first().waitFor()
  await server.api('PATCH', '/variables/name/threshold', { value: 31 })
  await page.getByRole('dialog').getByText('Somebody changed it meanwhile: it is now 31').waitFor()
  await server.api('DELETE', '/variables/name/threshold')
  await page.getByRole('dialog').getByText('Somebody deleted it meanwhile.').waitFor()
  // Refused within the dialog, where it can be read.
  await page.getByRole('dialog').getByLabel('Value', { exact: true }).fill('32')
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click()
  await page.getByRole('dialog').getByRole('alert').getByText('not found').waitFor()
})

await story(
  'schedules are added, seen in words and dates, changed, paused and deleted in place',
  async (page, server) => {
    const deployment = await server.deploy({ flow: 'Quiet flow', name: 'quiet', script: 'echo hello' })
    const kept = async () => (await server.api('GET', `/deployments/${deployment}`)).schedules
    await page.goto(`${server.url}/deployment/${deployment}`)
    await page.getByRole('button', { name: 'Add schedule' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('button', { name: 'Cron' }).click()
    await dialog.getByLabel(/Pattern/).fill('0 25 * * *')
    await dialog.getByText(/not a cron expression/).waitFor()
    assert.ok(
      await dialog.getByRole('button', { name: 'Add schedule' }).isDisabled(),
      'what the server refuses is not sent',
    )
    await dialog.getByLabel(/Pattern/).fill('0 9 * * 1-5')
    await dialog.getByText('On weekdays at 09:00').waitFor()
    await dialog
      .getByText(/^\w{3}, \w{3} \d+, 09:00$/)
      .first()
      .waitFor()
    await dialog.getByRole('button', { name: 'Add schedule' }).click()
    await page.getByRole('switch', { name: 'Schedule On weekdays at 09:00' }).waitFor()
    await page.getByRole('button', { name: 'Add schedule' }).click()
    await dialog.getByRole('button', { name: 'Parameters of its own…' }).click()
    await dialog.getByLabel(/Parameters over/).fill(`{"days": ${DIGITS}}`)
    await dialog.getByRole('button', { name: 'Add schedule' }).click()
    await page.getByText('sets days').waitFor()
    assert.match(await server.text(`/deployments/${deployment}`), new RegExp(`"days": ?${DIGITS}`))
    assert.equal((await kept()).length, 2)
    await page.getByRole('switch', { name: 'Schedule Every hour' }).click()
    await page.getByRole('switch', { name: 'Schedule Every hour', checked: false }).waitFor()
    assert.deepEqual((await kept()).map((s) => s.active).sort(), [false, true])
    await page.getByRole('button', { name: 'Edit the schedule Every hour' }).click()
    await dialog.getByLabel('Every', { exact: true }).fill('2')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await page.getByText('Every 2 hours', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Delete the schedule Every 2 hours' }).click()
    await dialog.getByRole('button', { name: 'Delete schedule' }).click()
    await page.getByText('Every 2 hours', { exact: true }).waitFor({ state: 'detached' })
    assert.deepEqual(
      (await kept()).map((s) => s.schedule.cron),
      ['0 9 * * 1-5'],
    )
  },
)

await story(
  'a custom run is asked for by the schema of the flow and told what is wrong by field',
  async (page, server) => {
    const { deployment } = await showcase(server)
    await page.goto(`${server.url}/deployment/${deployment}`)
    await page.getByRole('button', { name: 'Custom run…' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel(/^days/).fill('99')
    await dialog.getByText('Must be at most 14').waitFor()
    await dialog.getByLabel(/^days/).fill('5')
    await dialog.getByLabel(/^unit/).selectOption({ label: 'fahrenheit' })
    await dialog.getByRole('group', { name: 'station' }).getByLabel(/^name/).fill('')
    await dialog.getByRole('button', { name: 'Run', exact: true }).click()
    await dialog.getByText('Needed', { exact: true }).waitFor()
    assert.ok(
      await dialog
        .getByRole('group', { name: 'station' })
        .getByLabel(/^name/)
        .evaluate((node) => node === document.activeElement),
      'the focus goes to what is wrong',
    )
    await dialog.getByRole('group', { name: 'station' }).getByLabel(/^name/).fill('Harbour')
    // A tuple has a field for each place; one that is begun has to be whole.
    await dialog.getByLabel(/^area 1/).fill('53.1')
    await dialog.getByLabel(/^area 3/).selectOption({ label: 'km' })
    await dialog.getByRole('button', { name: 'Run', exact: true }).click()
    assert.ok(
      await dialog.getByLabel(/^area 2/).evaluate((node) => node === document.activeElement),
      'the focus goes to the place that is needed',
    )
    await dialog.getByLabel(/^area 2/).fill('8.8')
    // An object of whatever names has rows, and may be written as JSON.
    await dialog.getByRole('button', { name: 'Add to labels' }).click()
    await page.keyboard.type('shift')
    await page.keyboard.press('Tab')
    await page.keyboard.type('night')
    const options = dialog.getByRole('group', { name: 'options' })
    await options.getByRole('button', { name: 'Add to options' }).click()
    await options.getByLabel('Name of row 1 of options').fill('retries')
    await options.getByLabel('Value of retries').fill('[1')
    await options.getByText('Not valid JSON').waitFor()
    await options.getByLabel('Value of retries').fill('3')
    await options.getByRole('button', { name: 'options as JSON' }).click()
    const json = options.getByRole('textbox', { name: 'options as JSON' })
    assert.equal(await json.inputValue(), '{\n  "retries": 3\n}')
    await json.fill('{"retries": 3, "mode": "fast", "wait": "5"')
    await options.getByText('Not valid JSON').waitFor()
    assert.ok(
      await options.getByRole('button', { name: 'options as rows' }).isDisabled(),
      'what is no JSON cannot be rows',
    )
    await json.fill('{"retries": 3, "mode": "fast", "wait": "5"}')
    await options.getByRole('button', { name: 'options as rows' }).click()
    assert.equal(await options.getByLabel('Value of wait').inputValue(), '"5"')
    await options.getByRole('button', { name: 'Take mode of options away' }).click()
    await dialog.getByRole('checkbox', { name: 'None for since' }).uncheck()
    await dialog.getByLabel(/^since/).fill('2026-01-02T03:04')
    await dialog.getByRole('button', { name: 'Later' }).click()
    await dialog.getByLabel('Run name').fill('by-hand')
    await dialog.getByRole('button', { name: 'Schedule run' }).click()
    await page.getByRole('status').getByText('by-hand starts in').waitFor()
    const [run] = await server.api('POST', '/flow_runs/filter', { flow_runs: { name: { any_: ['by-hand'] } } })
    assert.deepEqual(
      { ...run.parameters, since: run.parameters.since.slice(0, 4) },
      {
        city: 'Bremen',
        days: 5,
        unit: 'fahrenheit',
        since: '2026',
        // What the deployment leaves to the model's default still is.
        station: { name: 'Harbour' },
        tags: ['a'],
        dry_run: false,
        area: [53.1, 8.8, 'km'],
        labels: { team: 'weather', shift: 'night' },
        options: { retries: 3, wait: '5' },
      },
    )
    assert.equal(run.state_type, 'SCHEDULED')
  },
)

await story(
  'an automation is made of JSON, refused with reasons, seen in words, fires and goes',
  async (page, server) => {
    await page.goto(`${server.url}/automations`)
    await page.getByRole('button', { name: 'New automation' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByRole('button', { name: 'JSON' }).click()
    const body = {
      name: 'Watch orders',
      trigger: { type: 'event', expect: ['acme.order.lost'], posture: 'Sideways', threshold: 1, within: 0 },
      actions: [{ type: 'do-nothing' }],
    }
    await dialog.getByLabel(/Name, trigger and actions/).fill(JSON.stringify(body))
    await dialog.getByRole('button', { name: 'Create' }).click()
    await dialog.getByText(/Input should be 'Reactive' or 'Proactive'/).waitFor()
    body.trigger.posture = 'Reactive'
    await dialog.getByLabel(/Name, trigger and actions/).fill(JSON.stringify(body))
    await dialog.getByRole('button', { name: 'Create' }).click()
    await page.getByRole('heading', { level: 1, name: 'Watch orders' }).waitFor()
    await page.getByText('When acme.order.lost happens').waitFor()
    await page.getByText('Not triggered yet').waitFor()
    await server.api('POST', '/events', [
      {
        occurred: new Date().toISOString(),
        event: 'acme.order.lost',
        resource: { 'prefect.resource.id': 'acme.order.1' },
        related: [],
        payload: {},
        id: crypto.randomUUID(),
      },
    ])
    await page.getByText('triggered', { exact: true }).first().waitFor()
    await page.getByRole('switch', { name: 'Automation Watch orders' }).click()
    await page.getByRole('switch', { name: 'Automation Watch orders', checked: false }).waitFor()
    await page.getByRole('button', { name: 'Delete the automation' }).click()
    await dialog.getByRole('button', { name: 'Delete automation' }).click()
    await page.getByText('No automations yet').waitFor()
  },
)

await story(
  'variables are made, found, changed and deleted, and keep the type of their values',
  async (page, server) => {
    await page.goto(`${server.url}/variables`)
    await page.getByRole('button', { name: 'New variable' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Name').fill('threshold')
    await dialog.getByRole('button', { name: 'JSON' }).click()
    await dialog.getByRole('textbox', { name: 'Value' }).fill('{"warn": 3')
    await dialog.getByText('Not valid JSON').waitFor()
    await dialog.getByRole('textbox', { name: 'Value' }).fill('{"warn": 30}')
    await dialog.getByRole('button', { name: 'Create' }).click()
    await page.getByText('{"warn":30}').waitFor()
    assert.deepEqual((await server.api('GET', '/variables/name/threshold')).value, { warn: 30 })
    await page.getByRole('button', { name: 'New variable' }).click()
    await dialog.getByLabel('Name').fill('threshold')
    await dialog.getByRole('textbox', { name: 'Value' }).fill('again')
    await dialog.getByRole('button', { name: 'Create' }).click()
    await page.getByText('The variable was not saved').waitFor()
    await dialog.getByRole('button', { name: 'Close' }).last().click()
    await page.getByRole('button', { name: 'Edit threshold' }).click()
    await dialog.getByRole('textbox', { name: 'Value' }).fill('40')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await page.getByText('40', { exact: true }).waitFor()
    assert.equal((await server.api('GET', '/variables/name/threshold')).value, 40)
    await page.getByRole('searchbox', { name: 'Find a variable' }).fill('nothing')
    await page.getByText('No variable matches').waitFor()
    await page.getByRole('searchbox', { name: 'Find a variable' }).fill('thresh')
    await page.getByRole('button', { name: 'Delete threshold' }).click()
    await dialog.getByRole('button', { name: 'Delete variable' }).click()
    await page.getByText('No variable matches').waitFor()
  },
)

await story('a global limit is made, changed, taken out of force and deleted', async (page, server) => {
  await page.goto(`${server.url}/concurrency-limits`)
  await page.getByLabel('Name of the global limit').fill('warehouse')
  await page.getByLabel('Slots of the global limit').fill('2')
  await page.getByRole('button', { name: 'Add' }).click()
  await page.getByText('0 of 2').waitFor()
  await server.api('POST', '/v2/concurrency_limits/increment', { names: ['warehouse'], slots: 2, mode: 'concurrency' })
  await page.reload()
  await page.getByText('2 of 2').waitFor()
  await page.getByRole('button', { name: 'Change the limit of warehouse' }).click()
  await page.getByLabel('Limit of warehouse').fill('3')
  await page.getByRole('button', { name: 'Save' }).click()
  await page.getByText('2 of 3').waitFor()
  await page.getByRole('switch', { name: 'Limit warehouse' }).click()
  await page.getByText('not in force').waitFor()
  await page.getByRole('button', { name: 'Delete the limit warehouse' }).click()
  await page.getByRole('dialog').getByRole('button', { name: 'Delete limit' }).click()
  await page.getByText('No global limits').waitFor()
})

await story(
  'blocks are made by the schema of their type, keep secrets that nobody touches, and may refer to each other',
  async (page, server) => {
    const { block } = await showcase(server)
    const kept = async (name) =>
      (
        await server.api('POST', '/block_documents/filter', {
          block_documents: { is_anonymous: { eq_: false } },
          include_secrets: true,
        })
      ).find((b) => b.name === name)
    await page.goto(`${server.url}/blocks`)
    await page.getByRole('heading', { name: 'ops-chat' }).waitFor()
    assert.equal(await page.getByText('not to be seen').count(), 0)
    await page
      .getByRole('listitem')
      .filter({ has: page.getByRole('heading', { name: 'night-relay' }) })
      .getByRole('link', { name: 'ops-chat' })
      .waitFor()
    const dialog = page.getByRole('dialog')
    await page.getByRole('button', { name: 'Edit ops-chat' }).click()
    await dialog.getByLabel(/^room/i).fill('night shift')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await page.getByText('ops-chat saved').waitFor()
    assert.deepEqual((await kept('ops-chat')).data, { room: 'night shift', token: 'not to be seen' })
    await page.getByRole('button', { name: 'New block' }).click()
    await dialog.getByLabel('Type').selectOption({ label: 'Relay' })
    await dialog.getByLabel('Name', { exact: true }).fill('Loud Relay')
    await dialog.getByLabel(/^chat/i).selectOption({ label: 'ops-chat' })
    await dialog.getByLabel(/^note/i).fill('by hand')
    await dialog.getByRole('button', { name: 'Create' }).click()
    await dialog
      .getByRole('alert')
      .getByText(/lowercase letters/)
      .waitFor()
    await dialog.getByLabel('Name', { exact: true }).fill('loud-relay')
    await dialog.getByRole('button', { name: 'Create' }).click()
    await page.getByRole('heading', { name: 'loud-relay', exact: true }).waitFor()
    assert.equal((await kept('loud-relay')).block_document_references.chat.block_document.id, block)
    await page.getByRole('button', { name: 'Delete loud-relay' }).click()
    await dialog.getByRole('button', { name: 'Delete block' }).click()
    await page.getByRole('heading', { name: 'loud-relay', exact: true }).waitFor({ state: 'detached' })
    // A secret is a text unless somebody says that it is something else.
    const secret = async (name, kind, typed) => {
      await page.getByRole('button', { name: 'New block' }).click()
      await dialog.getByLabel('Type').selectOption({ label: 'Secret' })
      await dialog.getByLabel('Name', { exact: true }).fill(name)
      if (kind === 'anything') await dialog.getByLabel('Kind of value').selectOption({ label: kind })
      await dialog.getByLabel(new RegExp(`^${kind}`)).fill(typed)
      await dialog.getByRole('button', { name: 'Create' }).click()
      await page.getByRole('heading', { name, exact: true }).waitFor()
      return (await kept(name)).data
    }
    assert.deepEqual(await secret('a-word', 'text', 'hunter2'), { value: 'hunter2' })
    assert.deepEqual(await secret('a-login', 'anything', '{"user": "me"}'), { value: { user: 'me' } })
    assert.equal(await page.getByText('hunter2').count(), 0)
  },
)

await story('who is told of which states is chosen by name, switched off and deleted', async (page, server) => {
  await showcase(server)
  const policies = () => server.api('POST', '/flow_run_notification_policies/filter', {})
  await page.goto(`${server.url}/notifications`)
  await page.getByText('When a run with tag weather enters Failed or Crashed').waitFor()
  await page.getByRole('link', { name: 'ops-chat' }).first().waitFor()
  await page.getByRole('button', { name: 'New notification' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Failed').uncheck()
  await dialog.getByLabel('Crashed').uncheck()
  await dialog.getByLabel('Completed').check()
  await dialog.getByLabel(/^Tell/).selectOption({ label: 'ops-chat (Team Chat)' })
  await dialog.getByLabel('Message').fill('{flow_run_name')
  await dialog.getByRole('button', { name: 'Create' }).click()
  await dialog.getByRole('alert').waitFor()
  await dialog.getByLabel('Message').fill('{flow_run_name} is done')
  await dialog.getByRole('button', { name: 'Create' }).click()
  await page.getByRole('switch', { name: 'When a run enters Completed', checked: true }).click()
  await page.getByRole('switch', { name: 'When a run enters Completed', checked: false }).waitFor()
  const made = (await policies()).find((p) => p.state_names[0] === 'Completed')
  assert.deepEqual([made.is_active, made.message_template, made.tags], [false, '{flow_run_name} is done', []])
  await page.getByRole('button', { name: 'Delete: When a run enters Completed' }).click()
  await dialog.getByRole('button', { name: 'Delete notification' }).click()
  await page.getByText('When a run enters Completed', { exact: true }).waitFor({ state: 'detached' })
  assert.equal((await policies()).length, 2)
})

await story(
  'a work queue is made and changed, and what a client has set beside its tags stays',
  async (page, server) => {
    const deployment = await server.deploy({ flow: 'Quiet flow', name: 'quiet', script: 'echo hello' })
    await page.goto(`${server.url}/work-queues`)
    await page.getByRole('button', { name: 'New queue' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Name').fill('etl-queue')
    await dialog.getByRole('button', { name: 'Create' }).click()
    await page.getByText('Every run of a deployment.').waitFor()
    const id = page.url().split('/').pop()
    await server.api('PATCH', `/work_queues/${id}`, { filter: { deployment_ids: [deployment] } })
    await page.reload()
    await page.getByRole('complementary').getByRole('link', { name: 'quiet' }).waitFor()
    await page.getByRole('button', { name: 'Edit', exact: true }).click()
    await dialog.getByLabel('Description').fill('For the night')
    await dialog.getByLabel(/Tags/).fill('ETL, night')
    await dialog.getByLabel('Concurrency limit').fill('3')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await page.getByText('For the night').waitFor()
    const { filter, concurrency_limit } = await server.api('GET', `/work_queues/${id}`)
    assert.deepEqual([filter.tags, filter.deployment_ids, concurrency_limit], [['ETL', 'night'], [deployment], 3])
  },
)

await story('what another changed of the queue of a pool is told and stays', async (page, server) => {
  await server.api('POST', '/work_pools/', { name: 'night', type: 'process' })
  await server.api('POST', '/work_pools/night/queues', { name: 'slow', priority: 5 })
  await page.goto(`${server.url}/work-pool/night`)
  await page.locator('[data-link=live]').first().waitFor()
  await page.getByRole('button', { name: 'Edit the queue slow' }).click()
  const dialog = page.getByRole('dialog')
  await dialog.getByLabel('Priority').fill('3')
  await server.api('PATCH', '/work_pools/night/queues/slow', { concurrency_limit: 7 })
  await dialog.getByText('Somebody changed it meanwhile: limit is now 7.').waitFor()
  await dialog.getByRole('button', { name: 'Save' }).click()
  await dialog.waitFor({ state: 'detached' })
  const { priority, concurrency_limit } = await server.api('GET', '/work_pools/night/queues/slow')
  assert.deepEqual([priority, concurrency_limit], [3, 7])
})

await story('a variable keeps the digits that it was written with', async (page, server) => {
  const written = '{"n":12345678901234567891,"x":1.0}'
  await fetch(`${server.url}/api/variables/`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: `{"name":"big","value":${written}}`,
  })
  await page.goto(`${server.url}/variables`)
  await page.getByText(written).waitFor()
  await page.getByRole('button', { name: 'Edit big' }).click()
  const value = page.getByRole('dialog').getByLabel('Value', { exact: true })
  await value.fill((await value.inputValue()).replace('1.0', '2.0'))
  await page.getByRole('dialog').getByRole('button', { name: 'Save' }).click()
  await page.getByRole('dialog').waitFor({ state: 'detached' })
  const kept = await (await fetch(`${server.url}/api/variables/name/big`)).text()
  assert.ok(kept.includes('{"n":12345678901234567891,"x":2.0}'), kept)
})

await story('emptying the database takes the right words', async (page, server) => {
  await server.deploy({ flow: 'Quiet flow', name: 'quiet', script: 'echo hello' })
  await page.goto(`${server.url}/settings`)
  await page.getByRole('button', { name: 'Empty the database…' }).click()
  const dialog = page.getByRole('dialog')
  assert.ok(await dialog.getByRole('button', { name: 'Delete everything' }).isDisabled())
  await dialog.getByLabel('Type delete everything').fill('delete everything')
  await dialog.getByRole('button', { name: 'Delete everything' }).click()
  await page.getByText('Four steps to the first green bar').waitFor()
  assert.deepEqual(await server.api('POST', '/flows/filter', {}), [])
})

await story('an automation is made in a form, is told what it lacks, and is changed there', async (page, server) => {
  const { deployment, block } = await showcase(server)
  await page.goto(`${server.url}/automations`)
  await page.getByRole('button', { name: 'New automation' }).click()
  const dialog = page.getByRole('dialog')
  const kept = async (name) =>
    (await server.api('POST', '/automations/filter', { automations: { name: { any_: [name] } } }))[0]
  await dialog.getByLabel('Name', { exact: true }).fill('Tell of late pools')
  await dialog.getByRole('button', { name: 'Create' }).click()
  await dialog.getByText('Action 1 needs: Through.').waitFor()
  assert.equal(
    await dialog
      .locator('[aria-invalid=true]')
      .first()
      .evaluate((node) => node === document.activeElement),
    true,
    'the focus goes to what is missing',
  )
  await dialog.getByRole('combobox', { name: 'When', exact: true }).selectOption({ label: 'A work pool' })
  await dialog.getByRole('combobox', { name: 'Does', exact: true }).selectOption({ label: 'stay in a state' })
  await dialog.getByLabel('For', { exact: true }).fill('2')
  await dialog.getByLabel('Add a work pool').selectOption({ label: 'kubernetes-prod' })
  await dialog.getByRole('button', { name: 'Take away kubernetes-prod' }).waitFor()
  await dialog.getByLabel('Through').selectOption({ label: 'ops-chat (Team Chat)' })
  await dialog.getByRole('button', { name: 'Add an action' }).click()
  await dialog.getByLabel('Action 2', { exact: true }).selectOption({ label: 'Run a deployment' })
  await dialog.getByLabel('Deployment', { exact: true }).selectOption({ label: 'Weather report / daily-bremen' })
  await dialog.getByLabel(/^Parameters/).fill('{"days": ')
  await dialog.getByText('Not valid JSON').waitFor()
  assert.ok(await dialog.getByRole('button', { name: 'Create' }).isDisabled(), 'half a value is not sent')
  await dialog.getByLabel(/^Parameters/).fill(`{"days": 7, "id": ${DIGITS}}`)
  await dialog.getByRole('button', { name: 'Create' }).click()
  await page.getByRole('heading', { level: 1, name: 'Tell of late pools' }).waitFor()
  const pool = (await server.api('GET', '/work_pools/kubernetes-prod')).id
  const { trigger, actions } = await kept('Tell of late pools')
  assert.deepEqual(
    [trigger.match, trigger.after, trigger.expect, trigger.posture, trigger.within],
    [
      { 'prefect.resource.id': `prefect.work-pool.${pool}` },
      ['prefect.work-pool.not-ready'],
      ['prefect.work-pool.*'],
      'Proactive',
      7200,
    ],
  )
  assert.deepEqual(
    [actions[0].type, actions[0].block_document_id, actions[1].deployment_id, actions[1].parameters],
    ['send-notification', block, deployment, { days: 7, id: Number(DIGITS) }],
  )
  // What was saved comes back as fields, and what they do not show stays.
  await page.getByRole('button', { name: 'Edit' }).click()
  await dialog.getByRole('button', { name: 'Take away kubernetes-prod' }).click()
  await dialog.getByRole('checkbox', { name: 'paused', exact: true }).check()
  await dialog.getByRole('button', { name: 'Save' }).click()
  await dialog.waitFor({ state: 'detached' })
  const { id } = await kept('Tell of late pools')
  assert.match(await server.text(`/automations/${id}`), new RegExp(`"id": ?${DIGITS}`))
  await page.getByRole('button', { name: 'Edit' }).click()
  await dialog.getByRole('button', { name: 'Take action 2 away' }).click()
  await dialog.getByRole('button', { name: 'Save' }).click()
  await dialog.waitFor({ state: 'detached' })
  await until('the change', async () => (await kept('Tell of late pools')).actions.length === 1)
  assert.deepEqual((await kept('Tell of late pools')).trigger.after, [
    'prefect.work-pool.not-ready',
    'prefect.work-pool.paused',
  ])
  // A trigger of several is shown in words and left to JSON.
  await page.goto(`${server.url}/automations`)
  await page
    .getByRole('link', { name: /onerror/ })
    .first()
    .click()
  await page.getByRole('button', { name: 'Edit' }).click()
  await dialog.getByText('These fields cannot say all of its trigger').waitFor()
  await dialog.getByRole('button', { name: 'JSON' }).click()
  assert.match(await dialog.getByLabel(/Name, trigger and actions/).inputValue(), /"compound"/)
})

await story('a parameter that takes a block is chosen among the blocks of its type', async (page, server) => {
  const { block } = await showcase(server)
  const flow = (await server.api('POST', '/flows/', { name: 'Sends' })).id
  const chat = {
    type: 'object',
    title: 'TeamChat',
    block_type_slug: 'team-chat',
    required: ['room', 'token'],
    properties: { room: { type: 'string' }, token: { type: 'string' } },
  }
  const schema = {
    type: 'object',
    required: ['chat'],
    properties: {
      chat: { $ref: '#/definitions/TeamChat', position: 0 },
      other: { anyOf: [{ $ref: '#/definitions/TeamChat' }, { type: 'null' }], default: null, position: 1 },
    },
    definitions: { TeamChat: chat },
  }
  const deployment = (
    await server.api('POST', '/deployments/', {
      name: 'sender',
      flow_id: flow,
      parameter_openapi_schema: schema,
      enforce_parameter_schema: true,
    })
  ).id
  await page.goto(`${server.url}/deployment/${deployment}?tab=parameters`)
  await page.getByText('a block of type team-chat').first().waitFor()
  await page.getByRole('button', { name: 'Custom run…' }).click()
  const dialog = page.getByRole('dialog')
  assert.equal(await dialog.getByLabel(/^room/).count(), 0, 'what the block consists of is not asked for')
  await dialog.getByRole('button', { name: 'Run', exact: true }).click()
  await dialog.getByText('Needed', { exact: true }).waitFor()
  await dialog.getByLabel(/^chat/).selectOption({ label: 'ops-chat' })
  await dialog.getByLabel('Run name').fill('through-a-block')
  await dialog.getByRole('button', { name: 'Run', exact: true }).click()
  await page.getByText('through-a-block is scheduled').waitFor()
  const [run] = await server.api('POST', '/flow_runs/filter', { flow_runs: { name: { any_: ['through-a-block'] } } })
  assert.deepEqual(run.parameters, { chat: { $ref: { block_document_id: block } }, other: null })
  // The run says which block it was by name.
  await page.goto(`${server.url}/flow-run/${run.id}?tab=parameters`)
  await page.getByRole('tabpanel').getByRole('link', { name: 'ops-chat' }).waitFor()
})

await story(
  'lists get an item after another, unions are chosen first, and an optional model is left alone',
  async (page, server) => {
    const flow = (await server.api('POST', '/flows/', { name: 'Kinds' })).id
    const person = {
      type: 'object',
      title: 'Person',
      required: ['name'],
      properties: { name: { type: 'string' }, age: { type: 'integer', default: 7 } },
    }
    const schema = {
      type: 'object',
      required: ['people', 'either', 'days'],
      definitions: { Person: person },
      properties: {
        people: { type: 'array', minItems: 1, items: { $ref: '#/definitions/Person' }, position: 0 },
        either: { anyOf: [{ type: 'integer' }, { type: 'string' }], position: 1 },
        days: { type: 'array', items: { type: 'integer' }, position: 2 },
        boss: { $ref: '#/definitions/Person', position: 3 },
      },
    }
    const deployment = (
      await server.api('POST', '/deployments/', {
        name: 'kinds',
        flow_id: flow,
        parameter_openapi_schema: schema,
        enforce_parameter_schema: true,
      })
    ).id
    await page.goto(`${server.url}/deployment/${deployment}`)
    await page.getByRole('button', { name: 'Custom run…' }).click()
    const dialog = page.getByRole('dialog')
    const run = dialog.getByRole('button', { name: 'Run', exact: true })
    const add = dialog.getByRole('button', { name: 'Add to people' })
    await run.click()
    await dialog.getByText('Needs at least 1 item').waitFor()
    assert.ok(await add.evaluate((node) => node === document.activeElement), 'the focus goes to what adds one')
    for (const [i, name] of ['Ann', 'Bo', 'Cy'].entries()) {
      await add.click()
      await dialog
        .getByRole('group', { name: `people ${i + 1}` })
        .getByLabel(/^name/)
        .fill(name)
    }
    await dialog.getByRole('button', { name: 'Take people 2 away' }).click()
    await dialog.getByLabel('Kind of either').selectOption({ label: 'text' })
    await dialog.getByLabel(/^text/).fill('7')
    await dialog.getByLabel(/^days/).fill('1\nx')
    await dialog.getByText('Not a whole number: x').waitFor()
    await dialog.getByLabel(/^days/).fill('1\n2')
    await dialog.getByLabel('Run name').fill('kinds')
    await run.click()
    await page.getByText('kinds is scheduled').waitFor()
    const [made] = await server.api('POST', '/flow_runs/filter', { flow_runs: { name: { any_: ['kinds'] } } })
    assert.deepEqual(made.parameters, {
      people: [
        { name: 'Ann', age: 7 },
        { name: 'Cy', age: 7 },
      ],
      either: '7',
      days: [1, 2],
    })
  },
)

await story('notifications that others change are seen without a reload', async (page, server) => {
  const { block } = await showcase(server)
  await page.goto(`${server.url}/notifications`)
  await page.locator('[data-link=live]').first().waitFor()
  const row = page.locator('[data-row]').filter({ hasText: 'enters Paused' })
  assert.equal(await row.count(), 0)
  const { id } = await server.api('POST', '/flow_run_notification_policies/', {
    is_active: true,
    block_document_id: block,
    state_names: ['Paused'],
    tags: [],
  })
  await row.waitFor()
  await server.api('PATCH', `/flow_run_notification_policies/${id}`, { is_active: false })
  await row.getByRole('switch', { checked: false }).waitFor()
  await server.api('DELETE', `/flow_run_notification_policies/${id}`)
  await row.waitFor({ state: 'detached' })
})

await story('more subflows than a page shows are counted and turned over', async (page, server) => {
  const flow = (await server.api('POST', '/flows/', { name: 'Outer' })).id
  const run = (await server.api('POST', '/flow_runs/', { flow_id: flow, name: 'outer' })).id
  const task = (await server.api('POST', '/task_runs/', { flow_run_id: run, task_key: 'inner', dynamic_key: '0' })).id
  for (let i = 0; i < 103; i++)
    await server.api('POST', '/flow_runs/', { flow_id: flow, name: `inner-${i}`, parent_task_run_id: task })
  await page.goto(`${server.url}/flow-run/${run}?tab=subflows`)
  await page.getByRole('tab', { name: 'Subflow runs 103' }).waitFor()
  const pages = page.getByRole('navigation', { name: 'Pages of the list' })
  await pages.getByText('1–100 of 103').waitFor()
  const next = pages.getByRole('button', { name: 'Next page' })
  await next.focus()
  await page.keyboard.press('Enter')
  await pages.getByText('101–103 of 103').waitFor()
  assert.ok(
    await next.evaluate((node) => node === document.activeElement),
    'the last page leaves the focus where it was',
  )
  assert.match(page.url(), /page=1/)
})

await story('links of other clients to queues and pools lead to the page of the pool', async (page, server) => {
  const pool = await server.api('POST', '/work_pools/', { name: 'yard', type: 'process' })
  const queue = await server.api('POST', '/work_pools/yard/queues', { name: 'urgent' })
  for (const link of [
    `work-queues/work-queue/${queue.id}`,
    `work-queue/${queue.id}`,
    `work-pools/work-pool/${pool.id}`,
  ]) {
    await page.goto(`${server.url}/${link}`)
    await page.getByRole('heading', { level: 1, name: 'yard' }).waitFor()
    await page.waitForURL('**/work-pool/yard')
  }
  await page.goto(`${server.url}/work-queue/${pool.id}`)
  await page.getByText('There is no work queue with this address').waitFor()
})

await story('several terms typed at once are told apart', async (page, server) => {
  await showcase(server)
  await page.goto(`${server.url}/runs`)
  await page.getByRole('combobox', { name: 'Query' }).fill('state:Failed tag:weather')
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'Remove tag weather' }).waitFor()
  await page.getByRole('button', { name: 'Remove state' }).waitFor()
  const asked = new URL(page.url()).searchParams
  assert.deepEqual([asked.getAll('state'), asked.getAll('tag')], [['FAILED'], ['weather']])
})

await story('a large default is sent and shown with all its digits', async (page, server) => {
  const flow = await server.api('POST', '/flows/', { name: 'counts' })
  const schema = `{"type": "object", "properties": {"big": {"type": "integer", "default": ${DIGITS}}, "note": {"type": "string", "default": ""}}}`
  await fetch(`${server.origin}/api/deployments/`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: `{"name": "big", "flow_id": "${flow.id}", "parameter_openapi_schema": ${schema}, "parameters": {"big": ${DIGITS}}}`,
  })
  const [deployment] = await server.api('POST', '/deployments/filter', {})
  await page.goto(`${server.url}/deployment/${deployment.id}?tab=parameters`)
  await page.getByText(DIGITS).first().waitFor()
  await page.getByRole('button', { name: 'Custom run' }).click()
  const dialog = page.getByRole('dialog')
  assert.equal(await dialog.getByLabel(/^big/).inputValue(), DIGITS)
  await dialog.getByLabel(/^note/).fill('x')
  await dialog.getByRole('button', { name: /^(Run|Start)/ }).click()
  const [run] = await until('the run', async () => {
    const runs = await server.api('POST', '/flow_runs/filter', {})
    return runs.length && runs
  })
  assert.match(await server.text(`/flow_runs/${run.id}`), new RegExp(`"big": ?${DIGITS}`))
  await page.goto(`${server.url}/flow-run/${run.id}?tab=parameters`)
  await page.getByText(DIGITS).first().waitFor()
})

await end()
