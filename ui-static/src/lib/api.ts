// Requests to the API: JSON both ways, errors that say what happened and what to do.

import { takeAhead, type Ahead } from './ahead'
import { API } from './base'
import { notice } from './clock'
import { parseExact, putDefaults } from './exact'
import { see } from './seen'
import { session } from './session.svelte'
import type { SavedSearch } from './query'
import type * as T from './types'

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message)
  }
}

/** Sends a request as this browser's user: every way to the server goes through here, the stream of changes too. */
export async function send(
  path: string,
  init: RequestInit & { headers?: Record<string, string> } = {},
  ahead?: Ahead,
): Promise<Response> {
  for (;;) {
    const headers = { ...init.headers, ...session.headers() }
    const first = ahead
    ahead = undefined
    const sent = first?.sent ?? Date.now()
    const response = await (first?.response ?? fetch(API + path, { ...init, headers }))
    notice(response.headers.get('date'), sent, Date.now())
    if (response.status !== 401) {
      session.welcome()
      return response
    }
    // Where nothing may be stored, what is asked ahead does not know who somebody said to be.
    if (first && session.isKnown) continue
    if (!(await session.ask())) return response
  }
}

async function call<R>(
  method: string,
  path: string,
  body?: unknown,
  signal?: AbortSignal,
  ahead?: Ahead,
  parse: (text: string) => unknown = JSON.parse,
): Promise<R> {
  const headers: Record<string, string> = { accept: 'application/json' }
  if (body !== undefined) headers['content-type'] = 'application/json'
  const init = { method, signal: signal ?? null, body: body === undefined ? null : JSON.stringify(body) }
  let response: Response
  try {
    response = await send(path, { ...init, headers: { ...headers, ...csrf.headers(method) } }, ahead)
    // A server that guards against forged requests says so at the first that changes something.
    if (response.status === 403 && method !== 'GET' && (await csrf.renew())) {
      response = await send(path, { ...init, headers: { ...headers, ...csrf.headers(method) } })
    }
  } catch (cause) {
    if ((cause as Error).name === 'AbortError') throw cause
    see(null)
    throw new ApiError('The server does not answer. Is it running?', 0)
  }
  const text = await response.text()
  see(response.headers.get('x-last-change'))
  let answer: unknown = null
  try {
    answer = text ? parse(text) : null
  } catch {
    // Not JSON: a proxy's page, told by its status below.
  }
  if (!response.ok) throw new ApiError(reason(response.status, answer), response.status)
  return answer as R
}

/** The token against forged requests, fetched only from a server that wants one. */
const csrf = {
  client: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`,
  token: '',
  headers(method: string): Record<string, string> {
    return this.token && method !== 'GET'
      ? { 'prefect-csrf-token': this.token, 'prefect-csrf-client': this.client }
      : {}
  },
  async renew(): Promise<boolean> {
    const response = await send(`/csrf-token?client=${this.client}`).catch(() => null)
    if (!response?.ok) return false
    this.token = ((await response.json()) as { token?: string }).token ?? ''
    return this.token !== ''
  },
}

interface Wrong {
  loc?: (string | number)[]
  msg?: string
}

/** One mistake in a body, with its place. */
function mistake({ loc, msg }: Wrong): string {
  const place = (loc ?? []).filter((step, i) => i > 0 || step !== 'body').join('.')
  return `${place ? `${place}: ` : ''}${msg ?? 'not valid'}`
}

function reason(status: number, body: unknown): string {
  const b = body as { detail?: unknown; exception_message?: string } | null
  if (typeof b?.detail === 'string') return b.detail
  if (status === 401) return 'This server asks who you are.'
  const wrong = (b as { exception_detail?: Wrong[] } | null)?.exception_detail ?? (b?.detail as Wrong[] | undefined)
  if (Array.isArray(wrong) && wrong.length) return wrong.slice(0, 5).map(mistake).join('\n')
  if (b?.exception_message) return b.exception_message
  if (status === 403) return 'You may not see this.'
  if (status === 404) return 'Not found: it may have been deleted.'
  if (status >= 500) return `The server failed (${status}). Its log says why.`
  return `The server refused the request (${status}).`
}

const get = <R>(path: string, signal?: AbortSignal) => call<R>('GET', path, undefined, signal, takeAhead(path))
const ofDeployment = (path: string, signal?: AbortSignal) =>
  call<T.DeploymentPage>('GET', path, undefined, signal, takeAhead(path), deploymentOf)
const post = <R>(path: string, body: unknown = {}, signal?: AbortSignal) => call<R>('POST', path, body, signal)
const patch = <R>(path: string, body: unknown) => call<R>('PATCH', path, body)
/** A name as a part of a path. */
const part = encodeURIComponent
const del = <R>(path: string) => call<R>('DELETE', path)

/** A page of a run, with the numbers among its parameters as they are written. */
function runOf(text: string): unknown {
  const page = JSON.parse(text) as Partial<T.RunPage>
  if (page.run) page.run.parameters = (parseExact(text) as T.RunPage).run.parameters
  return page
}

/** An automation, with the numbers among the parameters of its actions as they are written. */
function automationOf(text: string): unknown {
  const row = JSON.parse(text) as { actions?: { parameters?: unknown }[] }
  const exact = parseExact(text) as typeof row
  row.actions?.forEach((action, i) => {
    if (action.parameters) action.parameters = exact.actions![i]!.parameters
  })
  return row
}

/** A page of a deployment, with the numbers among its parameters as they are written: a person sends them again. */
function deploymentOf(text: string): unknown {
  const page = JSON.parse(text) as Partial<T.DeploymentPage>
  if (page.deployment) {
    const exact = (parseExact(text) as T.DeploymentPage).deployment
    page.deployment.parameters = exact.parameters
    page.deployment.schedules.forEach((s, i) => (s.parameters = exact.schedules[i]!.parameters))
    putDefaults(page.deployment.parameter_openapi_schema, exact.parameter_openapi_schema)
  }
  return page
}

/** A page of a public list with how many there are in all: a filter answers rows only. */
async function listed<R>(
  path: string,
  filter: object,
  page: object,
  signal?: AbortSignal,
  parse?: (text: string) => unknown,
): Promise<T.Page<R>> {
  const [results, count] = await Promise.all([
    call<R[]>('POST', `${path}/filter`, { ...filter, ...page }, signal, undefined, parse),
    post<number>(`${path}/count`, filter, signal),
  ])
  return { results, count }
}

/** No list without pages of its own shows more than this. */
const MOST = 1000

/** All rows of a filter, which answers no more than 200 at once. */
async function every<R>(path: string, s?: AbortSignal): Promise<R[]> {
  const out: R[] = []
  for (let size = 200; size === 200 && out.length < MOST;) {
    const part = await post<R[]>(`${path}/filter`, { limit: 200, offset: out.length }, s)
    out.push(...part)
    size = part.length
  }
  return out
}

export interface SetState {
  type: T.StateType
  name?: string
  message?: string
  state_details?: Record<string, unknown>
}

export interface Verdict {
  status: 'ACCEPT' | 'REJECT' | 'WAIT' | 'ABORT'
  state: T.State | null
  details: { reason?: string }
}

/** A refused transition is an error for a person, though not one of HTTP; another way to what was asked for is none. */
function accepted(verdict: Verdict, asked?: T.StateType): Verdict {
  const got = verdict.state?.type
  const isThere =
    verdict.status === 'REJECT' &&
    got !== undefined &&
    (got === asked || (asked === 'CANCELLING' && got === 'CANCELLED'))
  if (verdict.status !== 'ACCEPT' && !isThere)
    throw new ApiError(verdict.details?.reason ?? `The server answered ${verdict.status}.`, 409)
  return verdict
}

export const api = {
  overview: (body: T.Ask, key: string, s?: AbortSignal) =>
    call<T.Overview>('POST', '/ui/overview', body, s, takeAhead(key)),
  info: (s?: AbortSignal) => get<T.Info>('/ui/info', s),
  runs: (body: T.Ask, s?: AbortSignal) => post<T.RunsPage>('/ui/flow_runs', body, s),
  taskRuns: (body: T.Ask, s?: AbortSignal) => post<T.Page<T.TaskRunRow>>('/ui/task_runs', body, s),
  flowPanel: (id: string, s?: AbortSignal) => get<T.FlowPanel>(`/ui/flows/${part(id)}`, s),
  deployments: (body: T.Ask, s?: AbortSignal) => post<T.Page<T.DeploymentRow>>('/ui/deployments', body, s),
  deployment: (id: string, s?: AbortSignal) => ofDeployment(`/ui/deployments/${part(id)}`, s),
  run: (id: string, s?: AbortSignal) => {
    const path = `/ui/flow_runs/${part(id)}`
    return call<T.RunPage>('GET', path, undefined, s, takeAhead(path), runOf)
  },
  graph: (id: string, s?: AbortSignal) => get<T.GraphColumns>(`/ui/flow_runs/${part(id)}/graph`, s),
  results: (id: string, s?: AbortSignal) => get<T.ResultRow[]>(`/ui/flow_runs/${part(id)}/results`, s),
  logs: (body: T.LogAsk, s?: AbortSignal) => post<T.Page<T.Log>>('/ui/logs', body, s),
  taskRun: (id: string, s?: AbortSignal) => get<T.TaskRunPage>(`/ui/task_runs/${part(id)}/page`, s),
  queues: (s?: AbortSignal) => get<T.QueueRow[]>('/ui/work_queues', s),
  /** The name of the pool that a queue is in; null where there is neither. */
  poolOfQueue: (id: string) =>
    get<{ work_pool_name?: string | null }>(`/work_queues/${part(id)}`).then(
      (queue) => queue.work_pool_name ?? null,
      () => null,
    ),
  /** The name of the pool that has an id; null where there is none. */
  poolOfId: (id: string) =>
    post<{ name: string }[]>('/work_pools/filter', { work_pools: { id: { any_: [id] } } }).then(
      ([pool]) => pool?.name ?? null,
      () => null,
    ),
  queue: (id: string, s?: AbortSignal) => get<T.QueuePage>(`/ui/work_queues/${part(id)}`, s),
  limits: (s?: AbortSignal) => get<T.LimitRow[]>('/ui/concurrency_limits', s),
  /** Those that somebody can choose from. */
  blocks: (s?: AbortSignal) => get<T.BlockRow[]>('/ui/blocks', s),
  findBlocks: (body: { name: string; limit: number; offset: number }, s?: AbortSignal) =>
    post<T.Page<T.BlockRow>>('/ui/blocks', body, s),
  pools: (s?: AbortSignal) => get<T.PoolRow[]>('/ui/work_pools', s),
  pool: (name: string, s?: AbortSignal) => get<T.PoolPage>(`/ui/work_pools/${part(name)}`, s),
  previewSchedule: (schedule: T.Schedule, s?: AbortSignal) =>
    post<{ dates: string[] }>('/ui/schedule', { schedule }, s),
  names: (ids: string[], s?: AbortSignal) => post<T.Named[]>('/ui/names', { ids }, s),
  events: (body: unknown, s?: AbortSignal) => post<T.EventPage>('/events/filter', body, s),
  moreEvents: (token: string) => get<T.EventPage>(`/events/filter/next?page-token=${token}`),
  flows: (flows: object | undefined, page: object) => listed<{ id: string; name: string }>('/flows', { flows }, page),
  /** Those of pools too; they are found by how their names begin. */
  allQueues: (begins: string, limit: number) =>
    post<{ id: string; name: string; work_pool_name: string | null }[]>('/work_queues/filter', {
      limit,
      ...(begins ? { work_queues: { name: { startswith_: [begins] } } } : {}),
    }),
  automations: (page: object, s?: AbortSignal) => listed<T.AutomationRow>('/automations', {}, page, s),
  automation: (id: string, s?: AbortSignal) =>
    call<T.AutomationRow>('GET', `/automations/${part(id)}`, undefined, s, undefined, automationOf),
  variables: (variables: object | undefined, page: object, s?: AbortSignal) =>
    listed<T.VariableRow>('/variables', { variables }, page, s, parseExact),
  latestArtifacts: (artifacts: object, page: object, s?: AbortSignal) =>
    listed<T.ArtifactLatest>('/artifacts/latest', { artifacts }, page, s),
  artifacts: (artifacts: object, page: object, s?: AbortSignal) =>
    listed<T.ArtifactRow>('/artifacts', { artifacts }, page, s),
  artifact: (id: string, s?: AbortSignal) => get<T.ArtifactRow>(`/artifacts/${part(id)}`, s),
  runInput: (id: string, key: string) => get<unknown>(`/flow_runs/${part(id)}/input/${part(key)}`),
  explain: (id: string, s?: AbortSignal) => get<T.Explanation>(`/flow_runs/${part(id)}/explain`, s),

  createRun: (deployment: string, body: unknown) =>
    post<Pick<T.RunRow, 'id' | 'name'>>(`/deployments/${part(deployment)}/create_flow_run`, body),
  setRunState: async (id: string, state: SetState, force = false) =>
    accepted(await post<Verdict>(`/flow_runs/${part(id)}/set_state`, { state, force }), state.type),
  /** Whoever runs a deployment's run ends its processes first, and the server knows whether anybody does; of other runs nobody would hear. */
  cancelRun: async (id: string) => {
    const run = await get<{ deployment_id: string | null }>(`/flow_runs/${part(id)}`)
    const state: SetState = { type: run.deployment_id ? 'CANCELLING' : 'CANCELLED', message: 'Cancelled through UI' }
    return accepted(await post<Verdict>(`/flow_runs/${part(id)}/set_state`, { state, force: false }), state.type)
  },
  deleteRun: (id: string) => del(`/flow_runs/${part(id)}`),
  deleteTaskRun: (id: string) => del(`/task_runs/${part(id)}`),
  deleteFlow: (id: string) => del(`/flows/${part(id)}`),
  deleteDeployment: (id: string) => del(`/deployments/${part(id)}`),
  pauseSchedule: (id: string) => post(`/deployments/${part(id)}/set_schedule_inactive`),
  resumeSchedule: (id: string) => post(`/deployments/${part(id)}/set_schedule_active`),
  addSchedule: (id: string, schedule: unknown) => post(`/deployments/${part(id)}/schedules`, [schedule]),
  updateSchedule: (id: string, schedule: string, body: unknown) =>
    patch(`/deployments/${part(id)}/schedules/${part(schedule)}`, body),
  deleteSchedule: (id: string, schedule: string) => del(`/deployments/${part(id)}/schedules/${part(schedule)}`),
  createVariable: (body: unknown) => post('/variables/', body),
  updateVariable: (id: string, body: unknown) => patch(`/variables/${part(id)}`, body),
  deleteVariable: (id: string) => del(`/variables/${part(id)}`),
  deleteArtifact: (id: string) => del(`/artifacts/${part(id)}`),
  createGlobalLimit: (body: unknown) => post('/v2/concurrency_limits/', body),
  updateGlobalLimit: (id: string, body: unknown) => patch(`/v2/concurrency_limits/${part(id)}`, body),
  deleteGlobalLimit: (id: string) => del(`/v2/concurrency_limits/${part(id)}`),
  resumeRun: async (id: string, input?: unknown) =>
    accepted(await post<Verdict>(`/flow_runs/${part(id)}/resume`, input === undefined ? {} : { run_input: input })),
  createPool: (body: unknown) => post('/work_pools/', body),
  updatePool: (name: string, body: unknown) => patch(`/work_pools/${part(name)}`, body),
  deletePool: (name: string) => del(`/work_pools/${part(name)}`),
  createPoolQueue: (pool: string, body: unknown) => post(`/work_pools/${part(pool)}/queues`, body),
  updatePoolQueue: (pool: string, queue: string, body: unknown) =>
    patch(`/work_pools/${part(pool)}/queues/${part(queue)}`, body),
  deletePoolQueue: (pool: string, queue: string) => del(`/work_pools/${part(pool)}/queues/${part(queue)}`),
  deleteWorker: (pool: string, worker: string) => del(`/work_pools/${part(pool)}/workers/${part(worker)}`),
  createAutomation: (body: unknown) => post<T.AutomationRow>('/automations/', body),
  updateAutomation: (id: string, body: unknown) => call('PUT', `/automations/${part(id)}`, body),
  enableAutomation: (id: string, enabled: boolean) => patch(`/automations/${part(id)}`, { enabled }),
  deleteAutomation: (id: string) => del(`/automations/${part(id)}`),
  createQueue: (body: unknown) => post<{ id: string }>('/work_queues/', body),
  updateQueue: (id: string, body: unknown) => patch(`/work_queues/${part(id)}`, body),
  deleteQueue: (id: string) => del(`/work_queues/${part(id)}`),
  createLimit: (tag: string, limit: number) => post('/concurrency_limits/', { tag, concurrency_limit: limit }),
  deleteLimit: (tag: string) => del(`/concurrency_limits/tag/${encodeURIComponent(tag)}`),
  savedSearches: () => every<SavedSearch>('/saved_searches'),
  saveSearch: (name: string, filters: SavedSearch['filters']) => call('PUT', '/saved_searches/', { name, filters }),
  deleteSearch: (id: string) => del(`/saved_searches/${part(id)}`),
  clearDatabase: () => post('/admin/database/clear', { confirm: true }),
  notifications: (s?: AbortSignal) => every<T.NotificationPolicy>('/flow_run_notification_policies', s),
  createNotification: (body: unknown) => post('/flow_run_notification_policies/', body),
  updateNotification: (id: string, body: unknown) => patch(`/flow_run_notification_policies/${part(id)}`, body),
  deleteNotification: (id: string) => del(`/flow_run_notification_policies/${part(id)}`),
  blockTypes: async (s?: AbortSignal) =>
    (await every<T.BlockType>('/block_types', s)).sort((a, b) => a.name.localeCompare(b.name)),
  /** The newest first. */
  blockSchemas: (type: string, s?: AbortSignal) =>
    post<T.BlockSchema[]>('/block_schemas/filter', { block_schemas: { block_type_id: { any_: [type] } } }, s),
  createBlockDocument: (body: unknown) => post('/block_documents/', body),
  updateBlockDocument: (id: string, data: object) => patch(`/block_documents/${part(id)}`, { data }),
  deleteBlockDocument: (id: string) => del(`/block_documents/${part(id)}`),
  deleteBlock: (id: string) => del(`/blocks/${part(id)}`),
}
