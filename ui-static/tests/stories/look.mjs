// Stories of what a page looks like where somebody's names and numbers are odd, or somebody else was quicker.

import assert from 'node:assert/strict'

export async function look(story) {
  await story('the size of a limit is changed where it stands, by the keyboard alone', async (page, server) => {
    const db = server.db()
    const limit = db.limits.find((l) => l.name === 'warehouse')
    await page.goto(`${server.url}/concurrency-limits`)
    const edit = page.getByRole('button', { name: 'Change the limit of warehouse' }).last()
    const next = page.getByRole('switch', { name: 'Limit warehouse' }).last()
    await edit.focus()
    const place = (await next.boundingBox()).x
    await page.keyboard.press('Enter')
    const field = page.getByRole('spinbutton', { name: 'Limit of warehouse' })
    assert.ok(await field.evaluate((node) => node === document.activeElement), 'the field has the focus')
    assert.equal((await next.boundingBox()).x, place, 'the columns stay')
    await page.keyboard.press('Escape')
    await field.waitFor({ state: 'detached' })
    assert.ok(await edit.evaluate((node) => node === document.activeElement), 'the focus is back')
    await page.keyboard.press('Enter')
    await page.keyboard.type('7')
    // Somebody else is quicker, and nothing has told this page so far.
    limit.limit = 6
    await page.keyboard.press('Enter')
    await page.getByText('Somebody set it to 6 meanwhile.').waitFor()
    assert.equal(limit.limit, 6, 'nothing is written over unseen')
    await page.getByRole('button', { name: 'Save' }).click()
    await page.getByText('4 of 7').waitFor()
    assert.equal(limit.limit, 7)
  })

  await story('a tag that has a limit is not given another one unasked', async (page, server) => {
    const db = server.db()
    const limit = db.limits.find((l) => l.tag === 'warehouse')
    await page.goto(`${server.url}/concurrency-limits`)
    await page.getByLabel('Tag', { exact: true }).fill('warehouse')
    await page.getByLabel('Limit', { exact: true }).fill('9')
    await page.getByRole('button', { name: 'Set limit' }).click()
    const dialog = page.getByRole('dialog', { name: 'Change the limit of warehouse?' })
    await dialog.getByText('It has a limit of 5 already, which becomes 9.').waitFor()
    assert.equal(limit.limit, 5)
    await dialog.getByRole('button', { name: 'Change it' }).click()
    await page.getByText('0 of 9').waitFor()
  })

  await story('the limit of a deployment is called by its name, and leads to it', async (page, server) => {
    const deployment = server.db().deployments[1]
    await page.goto(`${server.url}/concurrency-limits`)
    const link = page.getByRole('link', { name: deployment.name })
    assert.equal(await link.getAttribute('href'), `/deployment/${deployment.id}`)
    await page.getByRole('button', { name: `Change the limit of deployment ${deployment.name}` }).waitFor()
  })

  await story('a state of any name stays in its place, and does not turn the line around', async (page, server) => {
    const db = server.db()
    for (const run of db.runs) run.state_name = `\u202e${'Waiting for the warehouse '.repeat(8)}`
    await page.goto(server.url)
    const row = page.locator('[data-row]', { has: page.locator('.pill') }).first()
    await row.locator('.pill').getByText('⟨U+202E⟩').waitFor()
    const [pill, when, next] = await Promise.all(
      ['.pill', '.last time', '.n >> nth=0'].map((part) => row.locator(part).first().boundingBox()),
    )
    assert.ok(pill.x + pill.width <= when.x, 'the state ends before its time')
    assert.ok(when.x + when.width <= next.x, 'the time ends before the deployments')
  })

  await story('a tag without a letter says that it is empty', async (page, server) => {
    const db = server.db()
    for (const run of db.runs) run.tags = ['']
    await page.goto(`${server.url}/runs`)
    await page.locator('.tag').getByText('(empty)').first().waitFor()
  })

  await story('what is switched and taken away is large enough for a finger', async (page, server) => {
    await page.setViewportSize({ width: 390, height: 844 })
    const reach = (locator) =>
      locator.evaluate((node) => {
        const box = node.getBoundingClientRect()
        const [x, y] = [box.x + box.width / 2, box.y + box.height / 2]
        const hits = (dx, dy) => node.contains(document.elementFromPoint(x + dx, y + dy))
        const far = (dx, dy) => {
          let n = 0
          while (n < 40 && hits(dx * (n + 1), dy * (n + 1))) n++
          return n
        }
        return [far(-1, 0) + far(1, 0), far(0, -1) + far(0, 1)]
      })
    const isEnough = async (what, locator) => {
      const [width, height] = await reach(locator)
      assert.ok(width >= 23 && height >= 23, `${what}: ${width} × ${height}`)
    }
    await page.goto(`${server.url}/runs?flow=ETL`)
    await isEnough('a cross', page.getByRole('button', { name: /^Remove flow/ }))
    await page.goto(`${server.url}/work-queues`)
    await isEnough('a switch', page.getByRole('switch').first())
    await isEnough('a link', page.locator('[data-row] .what a').first())
    await page.goto(`${server.url}/task-run/${server.db().taskRuns[0].id}`)
    await isEnough('a copy', page.getByRole('button', { name: 'Copy the id' }).first())
  })

  await story('the name of a pool says its rule before it is sent', async (page, server) => {
    await page.goto(`${server.url}/work-pools`)
    await page.getByRole('button', { name: 'New pool' }).click()
    const dialog = page.getByRole('dialog', { name: 'New work pool' })
    await dialog.getByLabel('Name').fill('a/b<c>')
    await dialog.locator('.bad').getByText('Without / % & < and >').waitFor()
    assert.ok(await dialog.getByRole('button', { name: 'Create' }).isDisabled())
    await dialog.getByLabel('Name').fill('a-b-c')
    assert.ok(await dialog.getByRole('button', { name: 'Create' }).isEnabled())
  })

  await story(
    'a step of the tutorial is ticked off when the server knows it',
    async (page, server) => {
      await page.goto(server.url)
      await page.getByRole('heading', { name: 'Create a work queue', exact: true }).waitFor()
      await page.locator('[data-link=live]').first().waitFor()
      server.db().queues.push({
        id: '01970000-5a1e-4c3d-9b2f-000000000001',
        name: 'etl-queue',
        description: '',
        is_paused: false,
        concurrency_limit: null,
        filter: { tags: ['ETL'], deployment_ids: null, flow_runner_types: null },
        last_polled: null,
        agents: [],
      })
      server.emit([{ kind: 'work_queue', id: '01970000-5a1e-4c3d-9b2f-000000000001' }])
      await page.getByRole('heading', { name: /^Create a work queue.*done$/ }).waitFor()
    },
    { bare: true },
  )

  await story('what needs attention takes a line each until somebody wants to read all of it', async (page, server) => {
    // Without a queue there is more to say than that they are late.
    server.db().queues.length = 0
    await page.goto(server.url)
    const section = page.getByRole('region', { name: 'Needs attention' })
    const height = async () => (await section.boundingBox()).height
    await section.waitFor()
    const low = await height()
    assert.ok(low < 50, `${low} pixels`)
    await section.getByRole('button', { name: 'All that is known of them' }).click()
    await section.getByRole('button', { name: 'One line each' }).waitFor()
  })
}
