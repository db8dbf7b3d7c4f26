// Requests to the API: JSON both ways, errors that say what happened and what to do.

import { BASE } from './router.svelte'
import type * as T from './types'

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message)
  }
}

export const API = `${BASE}/api`

async function call<R>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<R> {
  let response: Response
  try {
    response = await fetch(API + path, {
      method,
      signal: signal ?? null,
      headers: body === undefined ? { accept: 'application/json' } : { accept: 'application/json', 'content-type': 'application/json' },
      body: body === undefined ? null : JSON.stringify(body),
    })
  } catch (cause) {
    if ((cause as Error).name === 'AbortError') throw cause
    throw new ApiError('The server does not answer. Is it running?', 0)
  }
  const text = await response.text()
  let answer: unknown = null
  try {
    answer = text ? JSON.parse(text) : null
  } catch {
    // Not JSON: a proxy's page, told by its status below.
  }
  if (!response.ok) throw new ApiError(reason(response.status, answer), response.status)
  return answer as R
}

function reason(status: number, body: unknown): string {
  const b = body as { detail?: unknown; exception_message?: string } | null
  if (typeof b?.detail === 'string') return b.detail
  if (b?.exception_message) return b.exception_message
  if (status === 401) return 'You need to sign in to see this.'
  if (status === 403) return 'You may not see this.'
  if (status === 404) return 'Not found: it may have been deleted.'
  if (status >= 500) return `The server failed (${status}). Its log says why.`
  return `The server refused the request (${status}).`
}

const get = <R>(path: string, signal?: AbortSignal) => call<R>('GET', path, undefined, signal)
const post = <R>(path: string, body: unknown = {}, signal?: AbortSignal) => call<R>('POST', path, body, signal)
const patch = <R>(path: string, body: unknown) => call<R>('PATCH', path, body)
const del = <R>(path: string) => call<R>('DELETE', path)

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

/** A refused transition is an error for a person, though not one of HTTP. */
function accepted(verdict: Verdict): Verdict {
  if (verdict.status !== 'ACCEPT' && !(verdict.status === 'REJECT' && verdict.state)) {
    throw new ApiError(verdict.details?.reason ?? `The server answered ${verdict.status}.`, 409)
  }
  return verdict
}

export const api = {
  overview: (body: unknown, s?: AbortSignal) => post<T.Overview>('/ui/overview', body, s),
  info: (s?: AbortSignal) => get<T.Info>('/ui/info', s),
  runs: (body: unknown, s?: AbortSignal) => post<T.RunsPage>('/ui/flow_runs', body, s),
  taskRuns: (body: unknown, s?: AbortSignal) => post<T.Page<T.TaskRunRow>>('/ui/task_runs', body, s),
  flows: (body: unknown, s?: AbortSignal) => post<T.Page<T.FlowRow>>('/ui/flows', body, s),
  flowPanel: (id: string, s?: AbortSignal) => get<T.FlowPanel>(`/ui/flows/${id}`, s),
  deployments: (body: unknown, s?: AbortSignal) => post<T.Page<T.DeploymentRow>>('/ui/deployments', body, s),
  deployment: (id: string, s?: AbortSignal) => get<T.DeploymentPage>(`/ui/deployments/${id}`, s),
  run: (id: string, s?: AbortSignal) => get<T.RunPage>(`/ui/flow_runs/${id}`, s),
  graph: (id: string, s?: AbortSignal) => get<T.GraphColumns>(`/ui/flow_runs/${id}/graph`, s),
  logs: (body: unknown, s?: AbortSignal) => post<T.Page<T.Log>>('/ui/logs', body, s),
  taskRun: (id: string, s?: AbortSignal) => get<T.TaskRunPage>(`/ui/task_runs/${id}`, s),
  queues: (s?: AbortSignal) => get<T.QueueRow[]>('/ui/work_queues', s),
  queue: (id: string, s?: AbortSignal) => get<T.QueuePage>(`/ui/work_queues/${id}`, s),
  limits: (s?: AbortSignal) => get<T.LimitRow[]>('/ui/concurrency_limits', s),
  blocks: (s?: AbortSignal) => get<T.BlockRow[]>('/ui/blocks', s),
  explain: (id: string, s?: AbortSignal) => get<T.Explanation>(`/flow_runs/${id}/explain`, s),

  createRun: (deployment: string, body: unknown) => post<T.FlowRun>(`/deployments/${deployment}/create_flow_run`, body),
  setRunState: async (id: string, state: SetState, force = false) => accepted(await post<Verdict>(`/flow_runs/${id}/set_state`, { state, force })),
  deleteRun: (id: string) => del(`/flow_runs/${id}`),
  deleteFlow: (id: string) => del(`/flows/${id}`),
  deleteDeployment: (id: string) => del(`/deployments/${id}`),
  pauseSchedule: (id: string) => post(`/deployments/${id}/set_schedule_inactive`),
  resumeSchedule: (id: string) => post(`/deployments/${id}/set_schedule_active`),
  setSchedule: (id: string, schedule: T.Schedule | null) => patch(`/ui/deployments/${id}/schedule`, { schedule }),
  createQueue: (body: unknown) => post<{ id: string }>('/work_queues/', body),
  updateQueue: (id: string, body: unknown) => patch(`/work_queues/${id}`, body),
  deleteQueue: (id: string) => del(`/work_queues/${id}`),
  createLimit: (tag: string, limit: number) => post('/concurrency_limits/', { tag, concurrency_limit: limit }),
  deleteLimit: (tag: string) => del(`/concurrency_limits/tag/${encodeURIComponent(tag)}`),
  deleteBlock: (id: string) => del(`/blocks/${id}`),
}
