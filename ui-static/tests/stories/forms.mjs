// Stories of forms: what somebody has typed is not lost, and what they have not touched stays as it was.

import assert from 'node:assert/strict'
import { until } from '../story.mjs'

export async function forms(story) {
  await story('what somebody typed is not thrown away by a click beside it or by Escape', async (page, server) => {
    await page.goto(`${server.url}/deployment/${server.db().deployments[1].id}`)
    await page.getByRole('button', { name: 'Custom run…' }).click()
    const dialog = page.getByRole('dialog')
    const field = page.getByLabel('Run name')
    await field.pressSequentially('mine')
    await page.mouse.click(4, 4)
    await page.keyboard.press('Escape')
    await dialog.getByText('Discard what you typed?').waitFor()
    await dialog.getByRole('button', { name: 'Keep it' }).click()
    assert.equal(await field.inputValue(), 'mine')
    assert.ok(await field.evaluate((node) => node === document.activeElement))
    await page.keyboard.press('Escape')
    await dialog.getByRole('button', { name: 'Discard' }).click()
    await dialog.waitFor({ state: 'detached' })
    // What nobody has touched goes at once.
    await page.getByRole('button', { name: 'Custom run…' }).click()
    await page.mouse.click(4, 4)
    await dialog.waitFor({ state: 'detached' })
  })

  await story('a dialog that is saving says so and stays until the answer', async (page, server) => {
    await page.goto(`${server.url}/deployment/${server.db().deployments[1].id}`)
    await page.getByRole('button', { name: 'Custom run…' }).click()
    const dialog = page.getByRole('dialog')
    server.stats.slow = 1500
    await dialog.getByRole('button', { name: 'Run', exact: true }).click()
    await dialog.getByRole('button', { name: 'Run…', exact: true }).waitFor()
    for (let i = 0; i < 3; i++) await page.keyboard.press('Escape')
    await page.mouse.click(4, 4)
    assert.ok(await dialog.getByRole('button', { name: 'Run…', exact: true }).isVisible())
    await page.getByText('Flow run scheduled').waitFor()
    await dialog.waitFor({ state: 'detached' })
  })

  await story('parameters that nobody touched are sent as they are set, to the last digit', async (page, server) => {
    const d = server.db().deployments[1]
    const at = { type: 'string', format: 'date-time' }
    d.parameter_openapi_schema = {
      properties: {
        at,
        naive: at,
        pet: {
          anyOf: [
            { type: 'object', title: 'Cat', properties: { kind: { const: 'cat' }, lives: { default: 9 } } },
            { type: 'object', title: 'Dog', properties: { kind: { const: 'dog' }, tricks: { type: 'integer' } } },
          ],
        },
        n: { type: 'integer' },
        token: { type: 'string', format: 'password' },
      },
    }
    d.parameters = {
      at: '2026-11-01T06:30:12.123456Z',
      naive: '2026-03-01T10:00:05',
      pet: { kind: 'dog' },
      n: 'DIGITS',
      token: 's3cr3t',
    }
    await page.route(/\/ui\/deployments\/[^/]+$/, async (route) => {
      const answer = await route.fetch()
      await route.fulfill({ body: (await answer.text()).replaceAll('"DIGITS"', '12345678901234567891') })
    })
    await page.goto(`${server.url}/deployment/${d.id}?tab=parameters`)
    await page.getByText('12345678901234567891').waitFor()
    assert.equal(await page.getByText('s3cr3t').count(), 0)
    await page.getByRole('button', { name: 'Custom run…' }).click()
    const dialog = page.getByRole('dialog')
    assert.equal(await dialog.getByLabel('Kind of pet').locator('option:checked').innerText(), 'Dog')
    let sent
    await page.route(/create_flow_run$/, async (route) => {
      sent = route.request().postData()
      await route.continue()
    })
    // One is changed, and keeps its clock and what the field cannot show.
    await dialog.getByLabel(/^at/).fill('2026-11-01T07:30:12.123')
    await dialog.getByRole('button', { name: 'Run', exact: true }).click()
    await page.getByText('Flow run scheduled').waitFor()
    assert.equal(
      /"parameters":(\{.*\}),"state"/.exec(sent)[1],
      '{"at":"2026-11-01T07:30:12.123456Z","naive":"2026-03-01T10:00:05","pet":{"kind":"dog"},"n":12345678901234567891,"token":"s3cr3t"}',
    )
  })

  await story('a number beyond what browsers count with is taken as it is typed', async (page, server) => {
    const d = server.db().deployments[1]
    d.parameter_openapi_schema = { properties: { n: { type: 'integer' } } }
    d.parameters = {}
    await page.goto(`${server.url}/deployment/${d.id}`)
    await page.getByRole('button', { name: 'Custom run…' }).click()
    let sent
    await page.route(/create_flow_run$/, async (route) => {
      sent = route.request().postData()
      await route.continue()
    })
    await page.getByRole('dialog').getByLabel(/^n /).fill('9007199254740993')
    await page.getByRole('dialog').getByRole('button', { name: 'Run', exact: true }).click()
    await page.getByText('Flow run scheduled').waitFor()
    assert.match(sent, /"n":9007199254740993\}/)
  })

  await story('a Quick Run that lacks parameters opens the form, from a list too', async (page, server) => {
    const d = server.db().deployments[1]
    d.parameter_openapi_schema = { required: ['city'], properties: { city: { type: 'string' } } }
    d.parameters = {}
    await page.goto(`${server.url}/deployment/${d.id}`)
    await page.getByRole('button', { name: 'Quick Run' }).click()
    await page.getByRole('dialog').getByLabel(/^city/).waitFor()
    await page.goto(`${server.url}/deployments`)
    await page.getByRole('listitem').filter({ hasText: d.name }).getByRole('button', { name: 'Quick Run' }).click()
    await page.getByRole('dialog').getByLabel(/^city/).waitFor()
    assert.ok(!server.stats.requests.some((r) => r.endsWith('create_flow_run')))
  })

  await story('a variable keeps its digits, and nothing is sent where nothing is changed', async (page, server) => {
    const row = { id: '1', name: 'big', value: 'RAW', tags: ['a,b', 'c'], updated: new Date().toISOString() }
    const raw = '{"n":12345678901234567891,"x":1.0}'
    await page.route(/\/variables\/filter$/, (route) =>
      route.fulfill({ body: JSON.stringify([row]).replace('"RAW"', raw), contentType: 'application/json' }),
    )
    await page.route(/\/variables\/count$/, (route) => route.fulfill({ body: '1', contentType: 'application/json' }))
    const sent = []
    await page.route(/\/variables\/1$/, (route) => {
      sent.push(route.request().postData())
      return route.fulfill({ status: 204 })
    })
    await page.goto(`${server.url}/variables`)
    await page.getByText(raw).waitFor()
    const dialog = page.getByRole('dialog')
    await page.getByRole('button', { name: 'Edit big' }).click()
    assert.equal(await dialog.getByLabel(/^Tags/).inputValue(), '"a,b", c')
    assert.match(await dialog.getByLabel('Value', { exact: true }).inputValue(), /12345678901234567891,\s+"x": 1\.0/)
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.waitFor({ state: 'detached' })
    assert.deepEqual(sent, [])
    await page.getByRole('button', { name: 'Edit big' }).click()
    await dialog.getByLabel('Value', { exact: true }).fill('[12345678901234567892, 2.0]')
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.waitFor({ state: 'detached' })
    assert.deepEqual(sent, ['{"value":[12345678901234567892,2.0]}'])
  })

  await story('what another changed of a queue is told and stays', async (page, server) => {
    const q = server.db().queues[0]
    q.filter = { ...q.filter, tags: ['a,b', 'c'] }
    await page.goto(`${server.url}/work-queue/${q.id}`)
    await page.getByRole('button', { name: 'Edit', exact: true }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByLabel('Description').fill('new words')
    q.concurrency_limit = 7
    server.emit([{ kind: 'work_queue', id: q.id }])
    await dialog.getByText('Somebody changed it meanwhile: limit is now 7.').waitFor()
    await dialog.getByRole('button', { name: 'Save' }).click()
    await dialog.waitFor({ state: 'detached' })
    await until('the change', () => q.description === 'new words')
    assert.deepEqual([q.concurrency_limit, q.filter.tags], [7, ['a,b', 'c']])
  })
}
