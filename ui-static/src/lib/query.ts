// The query language of the bar: what the chips say is what the URL says is what the API is asked.
//
// One representation, so that a link that somebody sends shows what they saw. Each term is `key:value`;
// words without a key search names.

import { span, spell } from './time'
import type { StateType } from './types'
import { STATE_NAMES, STATE_TYPES } from './states'

export interface Query {
  /** Seconds back from now. */
  last: number
  /** Seconds ahead of now. */
  next: number
  /** A fixed window, milliseconds, that replaces `last` and `next`. */
  from: number | null
  to: number | null
  states: string[]
  tags: string[]
  flows: string[]
  deployments: string[]
  pools: string[]
  name: string
  subflows: boolean
}

export interface Window {
  start: number
  end: number
}

export const DEFAULTS: Query = {
  last: 86400,
  next: 86400,
  from: null,
  to: null,
  states: [],
  tags: [],
  flows: [],
  deployments: [],
  pools: [],
  name: '',
  subflows: true,
}

const all = (params: URLSearchParams, key: string) => [...new Set(params.getAll(key).filter(Boolean))]

/** Which page of a list an address asks for; the first, when it asks for none that there can be. */
export function pageOf(params: URLSearchParams): number {
  const page = Number(params.get('page'))
  return Number.isInteger(page) && page > 0 && page <= 1e7 ? page : 0
}

/** Reads the query of a page's URL. Unknown values are left out rather than refused. */
export function parse(params: URLSearchParams, defaults: Partial<Query> = {}): Query {
  const base = { ...DEFAULTS, ...defaults }
  const from = Date.parse(params.get('from') ?? '')
  const to = Date.parse(params.get('to') ?? '')
  const fixed = Number.isFinite(from) && Number.isFinite(to) && to > from
  return {
    last: span(params.get('last') ?? '') ?? (params.has('next') && !params.has('last') ? 0 : base.last),
    next: span(params.get('next') ?? '') ?? (params.has('last') ? 0 : base.next),
    from: fixed ? from : null,
    to: fixed ? to : null,
    states: all(params, 'state'),
    tags: all(params, 'tag'),
    flows: all(params, 'flow'),
    deployments: all(params, 'deployment'),
    pools: all(params, 'pool'),
    name: params.get('name') ?? '',
    subflows: params.get('subflows') !== 'hide',
  }
}

/** Writes a query into URL parameters, leaving out what is a default. */
export function write(query: Query, into: URLSearchParams, defaults: Partial<Query> = {}): URLSearchParams {
  const base = { ...DEFAULTS, ...defaults }
  for (const key of [
    'last',
    'next',
    'from',
    'to',
    'state',
    'tag',
    'flow',
    'deployment',
    'pool',
    'name',
    'subflows',
    'page',
  ])
    into.delete(key)
  if (query.from != null && query.to != null) {
    into.set('from', new Date(query.from).toISOString())
    into.set('to', new Date(query.to).toISOString())
  } else if (query.last !== base.last || query.next !== base.next) {
    if (query.last) into.set('last', spell(query.last))
    if (query.next) into.set('next', spell(query.next))
  }
  for (const state of query.states) into.append('state', state)
  for (const tag of query.tags) into.append('tag', tag)
  for (const flow of query.flows) into.append('flow', flow)
  for (const deployment of query.deployments) into.append('deployment', deployment)
  for (const pool of query.pools) into.append('pool', pool)
  if (query.name) into.set('name', query.name)
  if (!query.subflows) into.set('subflows', 'hide')
  return into
}

export function window_(query: Query, now: number): Window {
  if (query.from != null && query.to != null) return { start: query.from, end: query.to }
  return { start: now - query.last * 1000, end: now + query.next * 1000 }
}

/** Moves the window by one of its widths; a relative one becomes fixed. */
export function shift(query: Query, by: number, now: number): Query {
  const { start, end } = window_(query, now)
  const width = end - start
  return { ...query, from: start + by * width, to: end + by * width }
}

export interface Term {
  key: string
  value: string
  remove: Query
}

/** The chips of the bar, each with the query that is left without it. */
export function terms(query: Query): Term[] {
  const out: Term[] = []
  if (query.from != null) out.push({ key: 'window', value: 'fixed', remove: { ...query, from: null, to: null } })
  else {
    if (query.last) out.push({ key: 'last', value: spell(query.last), remove: { ...query, last: 0 } })
    if (query.next) out.push({ key: 'next', value: spell(query.next), remove: { ...query, next: 0 } })
  }
  const lists = [
    ['state', 'states'],
    ['tag', 'tags'],
    ['flow', 'flows'],
    ['deployment', 'deployments'],
    ['pool', 'pools'],
  ] as const
  for (const [key, field] of lists) {
    for (const value of query[field])
      out.push({ key, value, remove: { ...query, [field]: query[field].filter((v) => v !== value) } })
  }
  if (query.name) out.push({ key: 'name', value: query.name, remove: { ...query, name: '' } })
  if (!query.subflows) out.push({ key: 'subflows', value: 'hidden', remove: { ...query, subflows: true } })
  return out
}

/** The keys of terms. */
export const KEYS = ['state', 'tag', 'flow', 'deployment', 'pool', 'name', 'last', 'next', 'subflows'] as const
export type Key = (typeof KEYS)[number]
const SPAN = 'a span such as 30m, 6h, 1d or 2w'
const TAKES: Record<Key, string> = {
  state: 'a state such as Failed or Late',
  tag: 'a tag',
  flow: 'the name of a flow',
  deployment: 'the name of a deployment',
  pool: 'the name of a work pool',
  name: 'a part of a name',
  last: SPAN,
  next: SPAN,
  subflows: 'hidden or shown',
}
const TERM = new RegExp(`^(${KEYS.join('|')}):(.+)$`, 'i')
const NEXT = new RegExp(`\\s+(?=(?:${KEYS.join('|')}):)`, 'gi')

/** The terms of a typed line; a value goes on until the next term begins, and within quotes beyond that. */
export function split(line: string): string[] {
  const text = line.trim()
  const out: string[] = []
  let from = 0
  for (const gap of text.matchAll(NEXT)) {
    const term = text.slice(from, gap.index)
    if (/^\w+:"/.test(term) && !/"\s*$/.test(term.slice(term.indexOf('"') + 1))) continue
    out.push(term)
    from = gap.index + gap[0].length
  }
  out.push(text.slice(from))
  return out.filter(Boolean)
}

/** Why a typed term cannot be taken where only terms of some keys mean anything; null if it can. */
export function refusal(text: string, takes: readonly Key[]): string | null {
  const [, word, value] = TERM.exec(text.trim()) ?? []
  const key = word?.toLowerCase()
  if (!key) {
    const bare = KEYS.find((one) => text.trim().toLowerCase() === `${one}:`)
    if (!bare) return null
    return takes.includes(bare) ? `${bare}: takes ${TAKES[bare]}` : `${bare}: means nothing here`
  }
  if (!takes.includes(key as Key)) return `${key}: means nothing here`
  const isSpan = key === 'last' || key === 'next'
  return isSpan && span(value!.trim()) === undefined ? `${key}: takes ${TAKES[key]}` : null
}

/** What a typed state means: all of a type, in capitals, rather than those only that have no name of their own. */
export const stateWord = (typed: string): string =>
  isType(typed.toUpperCase())
    ? typed.toUpperCase()
    : (STATE_NAMES.find((name) => name.toLowerCase() === typed.toLowerCase()) ?? typed)

/** Takes one typed term into the query; a word without a key searches names. */
export function add(query: Query, text: string): Query {
  const match = TERM.exec(text.trim())
  if (!match) return { ...query, name: text.trim() }
  const key = match[1]!.toLowerCase()
  const value = match[2]!.trim().replace(/^"(.*)"$/, '$1')
  const put = (old: string[]) => (old.includes(value) ? old : [...old, value])
  switch (key) {
    case 'last':
    case 'next': {
      const seconds = span(value)
      return seconds == null ? query : { ...query, from: null, to: null, [key]: seconds }
    }
    case 'state': {
      const state = stateWord(value)
      return { ...query, states: [...new Set([...query.states, state])] }
    }
    case 'tag':
      return { ...query, tags: put(query.tags) }
    case 'flow':
      return { ...query, flows: put(query.flows) }
    case 'deployment':
      return { ...query, deployments: put(query.deployments) }
    case 'pool':
      return { ...query, pools: put(query.pools) }
    case 'subflows':
      return { ...query, subflows: !/^(hide|hidden|no|false)$/i.test(value) }
    default:
      return { ...query, name: value }
  }
}

const isType = (s: string): s is StateType => (STATE_TYPES as string[]).includes(s)

/** The state part of a filter: upper-case words are types, others are names. */
export function stateFilter(states: string[]): Record<string, unknown> | null {
  if (!states.length) return null
  const types = states.filter(isType)
  const names = states.filter((s) => !isType(s))
  const out: Record<string, unknown> = {}
  if (types.length) out.type = { any_: types }
  if (names.length) out.name = { any_: names }
  if (types.length && names.length) out.operator = 'or_'
  return out
}

export interface Filters {
  flows?: Record<string, unknown>
  flow_runs?: Record<string, unknown>
  deployments?: Record<string, unknown>
  work_pools?: Record<string, unknown>
}

/** The API's filters for a query; `states: false` leaves the states to the caller. */
export function filters(query: Query, win: Window, options: { states: boolean } = { states: true }): Filters {
  const run: Record<string, unknown> = {
    expected_start_time: { after_: new Date(win.start).toISOString(), before_: new Date(win.end).toISOString() },
  }
  if (query.tags.length) run.tags = { all_: query.tags }
  if (query.name) run.name = { like_: query.name }
  if (!query.subflows) run.parent_task_run_id = { is_null_: true }
  const state = options.states ? stateFilter(query.states) : null
  if (state) run.state = state
  const out: Filters = { flow_runs: run }
  if (query.flows.length) out.flows = { name: { any_: query.flows } }
  if (query.deployments.length) out.deployments = { name: { any_: query.deployments } }
  if (query.pools.length) out.work_pools = { name: { any_: query.pools } }
  return out
}

/** One condition that a saved search of this dashboard consists of; others' have other words. */
const PROPERTY = 'query'

export interface SavedSearch {
  id: string
  name: string
  filters: { object: string; property: string; type: string; operation: string; value: unknown }[]
}

/** A query as the conditions of a saved search. */
export const toSaved = (query: Query): SavedSearch['filters'] => [
  {
    object: 'flow_run',
    property: PROPERTY,
    type: 'string',
    operation: 'equals',
    value: write(query, new URLSearchParams()).toString(),
  },
]

/** The query of a saved search; null if another dashboard made it. */
export function fromSaved(search: SavedSearch): Query | null {
  const [first] = search.filters
  return first?.property === PROPERTY && typeof first.value === 'string'
    ? parse(new URLSearchParams(first.value))
    : null
}

/** Where runs are listed that meet a query. */
export const runsPath = (query: Partial<Query>): string =>
  `/runs?${write({ ...DEFAULTS, ...query }, new URLSearchParams())}`
