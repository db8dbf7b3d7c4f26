// What a page costs a browser: bytes, requests, time until something and everything is seen, and CPU.
//
// Used for our dashboard with asserted sizes (`tests/real/budget.mjs`) and, to be printed beside it,
// for the genuine ones: `node tests/measure.mjs URL [path]` prints JSON.

import { browser } from './browser.mjs'

/** Loads an address with an empty cache and waits until nothing has been asked for `quiet` ms. */
export async function measure(context, url, { quiet = 800, patience = 30_000, marker = null } = {}) {
  const page = await context.newPage()
  const cdp = await context.newCDPSession(page)
  await cdp.send('Network.enable')
  await cdp.send('Network.setCacheDisabled', { cacheDisabled: true })
  // What the thread worked, not how long its tasks lasted while others had the processor.
  await cdp.send('Performance.enable', { timeDomain: 'threadTicks' })
  const kinds = new Map()
  const open = new Set()
  const out = { script_bytes: 0, style_bytes: 0, bytes: 0, requests: 0, api_requests: 0 }
  let last = Date.now()
  const origin = new URL(url).origin
  const foreign = new Set()
  cdp.on('Network.requestWillBeSent', ({ requestId, request, type }) => {
    if (request.url.startsWith('data:') || request.url.startsWith('blob:')) return
    kinds.set(requestId, type)
    out.requests++
    if (!request.url.startsWith(origin)) foreign.add(new URL(request.url).host)
    if (/\/api\//.test(new URL(request.url).pathname)) out.api_requests++
    // The stream of changes stays open for good.
    if (!request.url.endsWith('/ui/stream')) open.add(requestId)
    last = Date.now()
  })
  cdp.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    const kind = kinds.get(requestId)
    if (kind === 'Script') out.script_bytes += encodedDataLength
    if (kind === 'Stylesheet') out.style_bytes += encodedDataLength
    out.bytes += encodedDataLength
    open.delete(requestId)
    last = Date.now()
  })
  cdp.on('Network.loadingFailed', ({ requestId }) => (open.delete(requestId), (last = Date.now())))
  // When what a person waits for is there, told by the page's own clock.
  if (marker) {
    await page.addInitScript((selector) => {
      const look = () => {
        if (document.querySelector(selector)) performance.mark('filled')
        else requestAnimationFrame(look)
      }
      requestAnimationFrame(look)
    }, marker)
  }
  const from = Date.now()
  await page.goto(url, { waitUntil: 'load', timeout: patience })
  // A page that still works out its own script asks for nothing either: it has to have painted, and its
  // main thread to be idle, before silence means that it is done.
  const hasPainted = () =>
    page.evaluate(async () => {
      await new Promise((done) => requestIdleCallback(done, { timeout: 5000 }))
      return performance.getEntriesByName('first-contentful-paint').length > 0
    })
  let since = 0
  while (Date.now() - from < patience) {
    if (!since && (await hasPainted())) since = Date.now()
    const isQuiet = () => since && !open.size && Date.now() - Math.max(last, since) >= quiet
    if (isQuiet() && (await hasPainted()) && isQuiet()) break
    await page.waitForTimeout(50)
  }
  out.settled_ms = last - from
  const seen = await page.evaluate(() => ({
    fcp: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null,
    filled: performance.getEntriesByName('filled')[0]?.startTime ?? null,
  }))
  out.fcp_ms = seen.fcp && Math.round(seen.fcp)
  out.filled_ms = seen.filled && Math.round(seen.filled)
  const { metrics } = await cdp.send('Performance.getMetrics')
  out.cpu_ms = Math.round(metrics.find((m) => m.name === 'TaskDuration').value * 1000)
  out.foreign = [...foreign]
  await page.close()
  return out
}

/** Does something for a while and says how the frames went. */
export async function frames(page, act) {
  await page.evaluate(() => {
    window.frameTimes = []
    let before = performance.now()
    const tick = (now) => {
      window.frameTimes.push(now - before)
      before = now
      if (window.frameTimes) requestAnimationFrame(tick)
    }
    requestAnimationFrame(tick)
  })
  await act()
  const times = await page.evaluate(() => {
    const out = window.frameTimes.slice(2)
    window.frameTimes = null
    return out
  })
  times.sort((a, b) => a - b)
  const at = (share) => Math.round((times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0) * 10) / 10
  return {
    frames: times.length,
    median_ms: at(0.5),
    p95_ms: at(0.95),
    worst_ms: at(1),
    over_33_ms: times.filter((t) => t > 33.4).length,
  }
}

if (import.meta.url === `file://${process.argv[1]}`) {
  const [url, times = '3'] = process.argv.slice(2)
  const { context, close } = await browser()
  const all = []
  for (let i = 0; i < Number(times); i++)
    all.push(await measure(context, url, { quiet: 1500, marker: process.env.MARKER ?? null }))
  await close()
  const middle = (name) => all.map((one) => one[name]).sort((a, b) => a - b)[Math.floor(all.length / 2)]
  const { foreign, ...numbers } = all[0]
  console.log(
    JSON.stringify({ ...Object.fromEntries(Object.keys(numbers).map((name) => [name, middle(name)])), foreign }),
  )
}
