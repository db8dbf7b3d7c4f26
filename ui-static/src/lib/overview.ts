// What the first page asks the server, from its address alone: it is asked before the page is there.

import { filters, pageOf, parse, stateFilter, window_, write, type Filters, type Query, type Window } from './query'

/** Bars of the history. */
export const BUCKETS = 30
/** Rows of a list. */
export const SIZE = 25

const TABS = ['flows', 'deployments', 'flow_runs', 'task_runs']
export const tabOf = (hash: string): string => TABS.find((t) => t === hash.slice(1)) ?? 'flows'

/** The same for every address that asks for the same. */
export const keyOf = (query: Query, tab: string, page: number): string =>
  `overview?${write(query, new URLSearchParams())}&page=${tab === 'flows' ? page : 0}`

/** The window is fixed when asked, so that what counts and what lists use the same edges. */
export function asked(query: Query, now: number): { win: Window; filter: Filters; all: Filters } {
  const win = window_(query, now)
  return { win, filter: filters(query, win, { states: false }), all: filters(query, win) }
}

export function question(query: Query, tab: string, page: number, now: number) {
  const { win, filter } = asked(query, now)
  const edges = {
    start: new Date(win.start).toISOString(),
    end: new Date(win.end).toISOString(),
    interval_seconds: (win.end - win.start) / 1000 / BUCKETS,
  }
  return {
    ...filter,
    ...edges,
    state: stateFilter(query.states),
    limit: SIZE,
    offset: tab === 'flows' ? page * SIZE : 0,
  }
}

/** The question of an address, with its key; none if another page lies there. */
export function questionOf(path: string, search: string, hash: string, now: number) {
  if (!/^\/(?:flows|dashboard)?\/?$/.test(path)) return null
  const params = new URLSearchParams(search)
  const [query, tab, page] = [parse(params), tabOf(hash), pageOf(params)]
  return { key: keyOf(query, tab, page), body: question(query, tab, page, now) }
}
