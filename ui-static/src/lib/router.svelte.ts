// A small router on the history API: paths under the page's base, the query string as reactive state.

export const BASE = new URL(document.baseURI).pathname.replace(/\/$/, '')

const strip = (path: string) => (BASE && path.startsWith(BASE) ? path.slice(BASE.length) : path) || '/'

class Location {
  path = $state(strip(location.pathname))
  search = $state(location.search)
  hash = $state(location.hash)

  get params(): URLSearchParams {
    return new URLSearchParams(this.search)
  }

  sync() {
    this.path = strip(location.pathname)
    this.search = location.search
    this.hash = location.hash
  }
}

export const here = new Location()

addEventListener('popstate', () => here.sync())
addEventListener('hashchange', () => here.sync())

/** The address of a path of ours, base included. */
export const href = (path: string): string => BASE + path

export function go(path: string, options: { replace?: boolean; keep?: boolean } = {}) {
  const moved = strip(new URL(href(path), location.origin).pathname) !== here.path
  history[options.replace ? 'replaceState' : 'pushState'](null, '', href(path))
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

/** Changes the query string in place, so that filters are links but not a trail of history entries. */
export function setParams(params: URLSearchParams, options: { push?: boolean } = {}) {
  const text = params.toString()
  go(here.path + (text ? `?${text}` : '') + here.hash, { replace: !options.push, keep: true })
}

export function setParam(key: string, value: string | null, options: { push?: boolean } = {}) {
  const params = here.params
  if (value == null || value === '') params.delete(key)
  else params.set(key, value)
  setParams(params, options)
}

/** Follows links of ours without a load; modified clicks stay the browser's. */
export function followLinks(event: MouseEvent) {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return
  const link = (event.target as Element | null)?.closest?.('a')
  if (!link || link.target || link.hasAttribute('download')) return
  const url = new URL(link.href, location.href)
  if (url.origin !== location.origin || (BASE && !url.pathname.startsWith(`${BASE}/`)) || strip(url.pathname).startsWith('/api')) return
  event.preventDefault()
  go(strip(url.pathname) + url.search + url.hash)
}
