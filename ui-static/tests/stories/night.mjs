// Stories of a bad night: lost servers, wrong clocks, things that others delete, names and numbers beyond
// all reason, and nothing but a keyboard.

import assert from 'node:assert/strict'
import { start } from '../mock/server.mjs'

export async function night(story) {
  await story('every dialog keeps the focus, closes with Escape and gives the focus back', async (page, server) => {
    const db = server.db()
    const dialogs = [
      [`/flow-run/${db.pretty.id}`, 'Delete the run'],
      [`/flow-run/${db.live.id}`, 'Pause…'],
      [`/flow-run/${db.paused.id}`, 'Resume…'],
      [`/deployment/${db.deployments[1].id}`, 'Custom run…'],
      [`/deployment/${db.deployments[1].id}`, 'Delete the deployment'],
      [`/deployment/${db.deployments[1].id}`, 'Add schedule'],
      [`/work-queue/${db.queues[0].id}`, 'Delete the queue'],
      ['/automations', 'New automation'],
      ['/work-pools', 'New pool'],
      ['/work-queues', 'New queue'],
      ['/variables', 'New variable'],
      ['/notifications', 'New notification'],
      ['/', 'Keyboard shortcuts'],
    ]
    const inside = () =>
      page.evaluate(() => !!document.activeElement?.closest('dialog') || document.activeElement === document.body)
    for (const [path, name] of dialogs) {
      await page.goto(server.url + path)
      const button = page.getByRole('button', { name, exact: true }).first()
      // Twice: a browser may close the second one without asking.
      for (const time of [1, 2]) {
        await button.focus()
        await page.keyboard.press('Enter')
        await page.getByRole('dialog').waitFor()
        assert.ok(await inside(), `${name}: the focus is in the dialog`)
        for (let i = 0; i < (time === 1 ? 12 : 0); i++) {
          await page.keyboard.press('Tab')
          assert.ok(await inside(), `${name}: Tab ${i + 1} stays in the dialog`)
        }
        await page.keyboard.press('Escape')
        await page.getByRole('dialog').waitFor({ state: 'detached' })
        assert.ok(await button.evaluate((node) => node === document.activeElement), `${name}: the focus is back`)
      }
    }
  })

  await story(
    'whatever Tab comes to is in sight and has a ring, beside a bar at the bottom too',
    async (page, server) => {
      const db = server.db()
      const hidden = () =>
        page.evaluate(() => {
          const node = document.activeElement
          if (!node || node === document.body) return null
          const { outlineStyle, outlineWidth } = getComputedStyle(node)
          const box = node.getBoundingClientRect()
          const bar = document.querySelector('nav.bar').getBoundingClientRect()
          // A bar of search has its ring around all of it, a bar of the chart one within it.
          const around =
            node.closest('.bar:focus-within') &&
            getComputedStyle(node.closest('.bar')).boxShadow + getComputedStyle(node.closest('.bar')).outlineStyle !==
              'nonenone'
          const isRinged =
            (outlineStyle !== 'none' && parseFloat(outlineWidth) > 0) || around || node.matches('[data-bucket]')
          const isBehind = bar.height > 0 && box.top > bar.top && !node.closest('nav.bar, .panel')
          const isOutside =
            box.bottom < 0 || box.top > innerHeight || box.right < 0 || box.left > innerWidth || !box.width
          return isRinged && !isBehind && !isOutside
            ? ''
            : `${isRinged ? '' : 'no ring, '}${isBehind ? 'behind the bar, ' : ''}${isOutside ? 'out of sight, ' : ''}${node.outerHTML.slice(0, 120)}`
        })
      for (const [width, height] of [
        [1440, 900],
        [390, 844],
      ]) {
        await page.setViewportSize({ width, height })
        for (const path of [
          '/',
          '/runs',
          '/task-runs',
          `/flow-run/${db.pretty.id}?subflows=1&tab=subflows`,
          `/flow-run/${db.wide.id}?tab=tasks`,
          `/deployment/${db.deployments[1].id}`,
          `/work-queue/${db.queues[0].id}`,
          '/concurrency-limits',
          '/settings',
        ]) {
          await page.goto(server.url + path)
          await page.getByRole('heading', { level: 1 }).waitFor()
          await page.locator('[aria-busy=true]').first().waitFor({ state: 'detached' })
          for (let i = 0; i < 45; i++) {
            await page.keyboard.press('Tab')
            const found = await hidden()
            if (found === null) break
            assert.equal(found, '', `${path} at ${width}`)
          }
        }
      }
    },
    { patience: 20_000 },
  )

  await story(
    'a run is deleted with the keyboard alone, and what does not hurt has the focus first',
    async (page, server) => {
      const { id } = server.db().pretty
      await page.goto(`${server.url}/flow-run/${id}`)
      await page.getByRole('button', { name: 'Delete the run' }).focus()
      await page.keyboard.press('Enter')
      const dialog = page.getByRole('dialog')
      await dialog.waitFor()
      assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Keep')
      await page.keyboard.press('Tab')
      await page.keyboard.press('Enter')
      await page.getByRole('heading', { level: 1, name: 'Flow runs' }).waitFor()
      assert.ok(!server.db().runs.some((r) => r.id === id))
    },
  )

  await story('a text marked with the mouse beyond the dialog does not close it', async (page, server) => {
    await page.goto(`${server.url}/deployment/${server.db().deployments[1].id}`)
    await page.getByRole('button', { name: 'Custom run…' }).click()
    const field = page.getByLabel('Run name')
    await field.fill('what must not be lost')
    const box = await field.boundingBox()
    await page.mouse.move(box.x + box.width - 4, box.y + 10)
    await page.mouse.down()
    await page.mouse.move(4, 4, { steps: 4 })
    await page.mouse.up()
    assert.equal(await field.inputValue(), 'what must not be lost')
  })

  await story('back leads to the same filter, the same place and the same link', async (page, server) => {
    await page.goto(`${server.url}/runs?state=Completed&last=30d`)
    await page.locator('[data-row]').nth(30).waitFor()
    const link = page.locator('[data-row]').nth(30).locator('a').first()
    await link.scrollIntoViewIfNeeded()
    await page.evaluate(() => scrollBy(0, 60))
    await page.waitForTimeout(300)
    const y = await page.evaluate(() => scrollY)
    assert.ok(y > 200)
    const name = await link.textContent()
    await link.focus()
    await page.keyboard.press('Enter')
    await page.getByRole('heading', { level: 1, name }).waitFor()
    assert.equal(await page.evaluate(() => scrollY), 0)
    await page.goBack()
    await page.waitForFunction((y) => Math.abs(scrollY - y) < 4, y)
    assert.match(page.url(), /state=Completed&last=30d|last=30d&state=Completed/)
    await page.waitForFunction((name) => document.activeElement?.textContent === name, name)
    await page.goForward()
    await page.getByRole('heading', { level: 1, name }).waitFor()
    await page.reload()
    await page.getByRole('heading', { level: 1, name }).waitFor()
  })

  await story('what somebody else deletes says so and stays to be read', async (page, server) => {
    const run = server.db().live
    await page.goto(`${server.url}/flow-run/${run.id}`)
    await page.getByRole('heading', { level: 1, name: run.name }).waitFor()
    await page.locator('[data-link=live]').first().waitFor()
    server.db().runs = server.db().runs.filter((r) => r !== run)
    server.emit([{ kind: 'flow_run', id: run.id, state_type: null, state_name: null }])
    await page.getByText('Deleted meanwhile.').waitFor()
    await page.getByRole('heading', { level: 1, name: run.name }).waitFor()
    assert.equal(await page.getByText('Deleted meanwhile.').count(), 1)
    await page.reload()
    await page.getByRole('alert').getByText('Not found', { exact: true }).waitFor()
  })

  await story('a list shorter than an address remembers shows its last page', async (page, server) => {
    await page.goto(`${server.url}/runs?last=30d&page=900`)
    await page.locator('[data-row]').first().waitFor()
    const number = Number(/page=(\d+)/.exec(page.url())?.[1] ?? 0)
    assert.ok(number < 100, page.url())
    await page.goto(`${server.url}/runs?last=30d&page=-4`)
    await page.locator('[data-row]').first().waitFor()
  })

  await story('a computer whose clock is an hour slow sees what has just begun', async (page, server) => {
    const db = server.db()
    const run = db.addRun(db.flows[0], db.deployments[0], Date.now() - 4000, 'RUNNING', 0, { name: 'just-begun' })
    await page.clock.install({ time: Date.now() - 3600e3 })
    await page.goto(`${server.url}/runs`)
    await page.getByRole('link', { name: 'just-begun' }).waitFor()
    await page.locator('[data-link=live]').first().getByText('Live · this clock is 1h slow').waitFor()
    await page.goto(`${server.url}/flow-run/${run.id}`)
    const took = page.locator('.strip').getByText('Run time').locator('xpath=following-sibling::dd')
    assert.match(await took.innerText(), /^\d+s$/)
  })

  await story(
    'a server that is gone is said at once, and what was missed is there when it is back',
    async (page, server) => {
      const db = server.db()
      await page.goto(`${server.url}/work-queues`)
      await page.locator('[data-link=live]').first().waitFor()
      const port = Number(new URL(server.url).port)
      await server.close()
      await page.locator('[data-link=offline]').first().waitFor({ timeout: 5000 })
      await page.getByRole('link', { name: db.queues[0].name }).first().waitFor()
      const again = await start({ port })
      try {
        again.db().queues[0].name = 'renamed-meanwhile'
        await page.locator('[data-link=live]').first().waitFor({ timeout: 15_000 })
        await page.getByRole('link', { name: 'renamed-meanwhile' }).waitFor()
        assert.equal(await page.getByText('Not up to date').count(), 0)
      } finally {
        await again.close()
      }
    },
  )

  await story('lines of a log that did not come are asked for again', async (page, server) => {
    await page.goto(`${server.url}/flow-run/${server.db().wide.id}`)
    await page.getByText('100,000 lines').waitFor()
    await page.locator('[data-link=live]').first().waitFor()
    server.stats.fail = true
    await page.getByRole('log').evaluate((node) => (node.scrollTop = node.scrollHeight / 2))
    await page.getByText('Some lines could not be fetched').waitFor()
    await page.getByRole('button', { name: 'Copy the log' }).click()
    await page.getByText('The log was not copied').waitFor()
    server.stats.fail = false
    await page.getByRole('button', { name: 'Try again' }).click()
    await page
      .getByText(/Processed row (49|50)\d\d\d of/)
      .first()
      .waitFor()
    await page.getByText('Some lines could not be fetched').waitFor({ state: 'detached' })
  })

  await story('5,000 tags, 500 deployments and names beyond reason leave the page usable', async (page, server) => {
    const db = server.db()
    const tags = Array.from({ length: 5000 }, (_, i) => `tag-${i % 4990}`)
    const flow = db.flows[0]
    const run = db.addRun(flow, db.deployments[0], Date.now() - 60e3, 'FAILED', 5, {
      name: 'n'.repeat(5000),
      tags,
      parameters: { rows: Array.from({ length: 20_000 }, (_, i) => ({ i, text: '<b>'.repeat(5) })) },
    })
    run.state.message = 'm'.repeat(20_000)
    for (let i = 0; i < 500; i++)
      db.deployments.push({
        ...db.deployments[0],
        id: `0197ffff-5a1e-4c3d-9b2f-${String(i).padStart(12, '0')}`,
        name: `copy-${i}`,
      })
    await page.goto(`${server.url}/?panel=flow:${flow.id}`)
    await page
      .getByRole('dialog')
      .getByText(/^50\d$/)
      .first()
      .waitFor()
    await page.getByRole('dialog').getByRole('link', { name: 'View all' }).last().click()
    await page.getByText(/of 50\d/).waitFor()
    for (const width of [1440, 390]) {
      await page.setViewportSize({ width, height: 844 })
      for (const path of [
        `/flow-run/${run.id}`,
        `/flow-run/${run.id}?tab=parameters`,
        '/runs',
        `/?panel=flow:${flow.id}`,
      ]) {
        await page.goto(server.url + path)
        await page.getByRole('heading', { level: 1 }).waitFor()
        await page.locator('[aria-busy=true]').first().waitFor({ state: 'detached' })
        const { wide, head } = await page.evaluate(() => ({
          wide: document.documentElement.scrollWidth - innerWidth,
          head: document.querySelector('h1').offsetHeight,
        }))
        assert.ok(wide <= 0, `${path} at ${width} scrolls sideways by ${wide}`)
        assert.ok(head < 260, `${path} at ${width}: a heading of ${head} px`)
      }
    }
    await page.goto(`${server.url}/flow-run/${run.id}`)
    const more = page.getByRole('button', { name: '+4,985' })
    await more.click()
    await page.getByText('tag-4989', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Fewer' }).click()
  })

  await story('at 200 % and 400 % nothing is out of reach', async (page, server) => {
    const db = server.db()
    for (const [width, height] of [
      [720, 450],
      [360, 225],
    ]) {
      await page.setViewportSize({ width, height })
      for (const path of [
        '/',
        '/runs',
        `/flow-run/${db.pretty.id}`,
        `/deployment/${db.deployments[1].id}`,
        '/work-queues',
        '/settings',
      ]) {
        await page.goto(server.url + path)
        await page.getByRole('heading', { level: 1 }).waitFor()
        await page.locator('[aria-busy=true]').first().waitFor({ state: 'detached' })
        const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
        assert.ok(wide <= 0, `${path} at ${width}x${height} scrolls sideways by ${wide}`)
      }
      await page.goto(`${server.url}/deployment/${db.deployments[1].id}`)
      await page.getByRole('button', { name: 'Custom run…' }).click()
      await page.getByRole('dialog').getByRole('button', { name: 'Run', exact: true }).click()
      await page.getByText('Flow run scheduled').waitFor()
    }
  })

  await story('a stray percent sign in an address is a name, not an end', async (page, server) => {
    await page.goto(`${server.url}/deployment/100%`)
    await page.getByRole('alert').getByText('Not found', { exact: true }).waitFor()
    // The way on is a list, not another try.
    await page.getByRole('alert').getByRole('link', { name: 'All deployments' }).click()
    await page.getByRole('heading', { level: 1, name: 'Deployments' }).waitFor()
  })

  await story('two tabs: what one does the other shows', async (page, server) => {
    const id = server.db().deployments[1].id
    const other = await page.context().newPage()
    await other.goto(`${server.url}/runs`)
    await other.locator('[data-link=live]').first().waitFor()
    await page.goto(`${server.url}/deployment/${id}`)
    await page.getByRole('button', { name: 'Quick Run' }).click()
    await page.getByText('Flow run scheduled').waitFor()
    const { name } = server.db().runs.at(-1)
    await other.bringToFront()
    await other.getByRole('link', { name }).first().waitFor()
    await other.close()
  })
}
