// A small router on the history API: paths under the page's base, the query string as reactive state.

import { BASE, strip } from './base'

class Location {
  path = $state(strip(location.pathname))
  search = $state(location.search)
  hash = $state(location.hash)

  get params(): URLSearchParams {
    return new URLSearchParams(this.search)
  }

  /** The path whose page is drawn; the one before, while the next page is fetched. */
  drawn = ''

  sync() {
    this.path = strip(location.pathname)
    this.search = location.search
    this.hash = location.hash
  }
}

export const here = new Location()

/** Where somebody was on a page, kept with its entry in the history. */
interface Left {
  y?: number
  /** The link by which they went on. */
  link?: string | null
}

const left = (more: Left) => history.replaceState({ ...(history.state as Left | null), ...more }, '')
let settling: ReturnType<typeof setTimeout> | undefined

// The browser would scroll before the page that it goes back to has its rows.
history.scrollRestoration = 'manual'
addEventListener(
  'scroll',
  () => {
    clearTimeout(settling)
    settling = setTimeout(() => left({ y: scrollY }), 150)
  },
  { passive: true },
)

/** Goes to where somebody was, as soon as the page is as long as it was then; unless they begin to move themselves. */
function comeBack({ y = 0, link }: Left) {
  const over = new AbortController()
  for (const sign of ['wheel', 'touchstart', 'pointerdown', 'keydown', 'popstate'])
    addEventListener(sign, () => over.abort(), { signal: over.signal, passive: true })
  const patience = performance.now() + 3000
  const look = () => {
    if (over.signal.aborted) return
    const isThere =
      here.drawn === here.path &&
      !document.querySelector('main [aria-busy=true]') &&
      document.documentElement.scrollHeight >= y + innerHeight
    if (!isThere && performance.now() < patience) return requestAnimationFrame(look)
    over.abort()
    scrollTo(0, y)
    if (link) document.querySelector<HTMLElement>(`main a[href="${CSS.escape(link)}"]`)?.focus({ preventScroll: true })
  }
  requestAnimationFrame(look)
}

addEventListener('popstate', () => {
  clearTimeout(settling)
  const moved = strip(location.pathname) !== here.path
  here.sync()
  if (moved) comeBack((history.state as Left | null) ?? {})
})
addEventListener('hashchange', () => here.sync())
if ((history.state as Left | null)?.y) comeBack({ y: (history.state as Left).y! })

/** The address of a path of ours, base included. */
export const href = (path: string): string => BASE + path

export function go(path: string, options: { replace?: boolean; keep?: boolean } = {}) {
  const moved = strip(new URL(href(path), location.origin).pathname) !== here.path
  clearTimeout(settling)
  if (options.replace) history.replaceState(moved ? null : history.state, '', href(path))
  else {
    const link = document.activeElement?.closest('main a')?.getAttribute('href')
    left({ y: scrollY, link: link ?? null })
    history.pushState(moved ? null : { y: scrollY }, '', href(path))
  }
  here.sync()
  if (moved && !options.keep) {
    scrollTo(0, 0)
    // A new page is announced by its heading, as a browser would after a load.
    // What had the focus goes with the old page; who is already at work on the new one keeps it.
    const main = document.querySelector<HTMLElement>('main')
    if (main?.contains(document.activeElement)) (document.activeElement as HTMLElement).blur()
    requestAnimationFrame(() => main?.contains(document.activeElement) || main?.focus({ preventScroll: true }))
  }
}

/** Changes the query string; what somebody chose is a step to go back from, what they are still typing is not. */
export function setParams(params: URLSearchParams, options: { push?: boolean } = {}) {
  const text = params.toString()
  const isSame = text === here.params.toString()
  go(here.path + (text ? `?${text}` : '') + here.hash, { replace: isSame || !options.push, keep: true })
}

export function setParam(key: string, value: string | null, options: { push?: boolean } = {}) {
  const params = here.params
  if (value == null || value === '') params.delete(key)
  else params.set(key, value)
  setParams(params, options)
}

/** Follows links of ours without a load; modified clicks stay the browser's. */
export function followLinks(event: MouseEvent) {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return
  const link = (event.target as Element | null)?.closest?.('a')
  if (!link || link.target || link.hasAttribute('download')) return
  const url = new URL(link.href, location.href)
  if (
    url.origin !== location.origin ||
    (BASE && !url.pathname.startsWith(`${BASE}/`)) ||
    strip(url.pathname).startsWith('/api')
  )
    return
  event.preventDefault()
  go(strip(url.pathname) + url.search + url.hash)
}
