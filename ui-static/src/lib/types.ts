// The shapes of the API that the dashboard reads: dialect 3 and the aggregated routes under `api/ui`.

export type StateType =
  | 'SCHEDULED'
  | 'PENDING'
  | 'RUNNING'
  | 'COMPLETED'
  | 'FAILED'
  | 'CRASHED'
  | 'CANCELLED'
  | 'CANCELLING'
  | 'PAUSED'

export interface State {
  id: string
  type: StateType
  name: string
  timestamp: string
  message: string | null
  state_details?: Record<string, unknown>
  data?: unknown
}

export interface Flow {
  id: string
  name: string
  tags: string[]
  created: string
}

export interface FlowRun {
  id: string
  name: string
  flow_id: string
  deployment_id: string | null
  parent_task_run_id: string | null
  state_type: StateType | null
  state_name: string | null
  state: State | null
  expected_start_time: string | null
  next_scheduled_start_time: string | null
  start_time: string | null
  end_time: string | null
  total_run_time: number
  run_count: number
  parameters: Record<string, unknown>
  tags: string[]
  auto_scheduled: boolean
  flow_version: string | null
  idempotency_key: string | null
  work_queue_name?: string | null
  created: string
}

/** A flow run with the names that a row shows. */
export interface RunRow {
  id: string
  name: string
  flow_id: string
  flow_name: string
  deployment_id: string | null
  deployment_name: string | null
  parent_task_run_id: string | null
  state_type: StateType | null
  state_name: string | null
  state_message: string | null
  expected_start_time: string | null
  start_time: string | null
  end_time: string | null
  total_run_time: number
  run_count: number
  tags: string[]
  auto_scheduled: boolean
}

export interface TaskRunRow {
  id: string
  name: string
  task_key: string
  dynamic_key: string
  flow_run_id: string | null
  flow_run_name: string | null
  flow_name: string | null
  state_type: StateType | null
  state_name: string | null
  state_message: string | null
  expected_start_time: string | null
  start_time: string | null
  end_time: string | null
  total_run_time: number
  run_count: number
  tags: string[]
}

export interface HistoryState {
  state_type: StateType
  state_name: string
  count_runs: number
  sum_estimated_run_time: number
  sum_estimated_lateness: number
}

export interface HistoryBucket {
  interval_start: string
  interval_end: string
  states: HistoryState[]
}

export interface StateCount {
  state_type: StateType
  state_name: string
  count: number
}

/** Something a person should look at, and what would help. */
export interface Reason {
  code: string
  summary: string
  detail?: string | null
  command?: string | null
  /** Where the dashboard shows the cause, as a path of ours. */
  link?: string | null
  /** How many runs wait for this reason, where several share it. */
  count?: number
  /** The oldest moment since which something waits. */
  since?: string | null
}

export interface FlowRow {
  id: string
  name: string
  tags: string[]
  created: string
  deployments: number
  flow_runs: number
  task_runs: number
  /** [bucket index, type, name, count] */
  buckets: [number, StateType, string, number][]
  last_run: { id: string; name: string; state_type: StateType; state_name: string; at: string } | null
}

export interface Schedule {
  interval?: number
  anchor_date?: string | null
  cron?: string
  day_or?: boolean
  rrule?: string
  timezone?: string | null
}

export interface DeploymentRow {
  id: string
  name: string
  flow_id: string
  flow_name: string
  tags: string[]
  schedule: Schedule | null
  is_schedule_active: boolean
  created: string
  next_run: string | null
  late: number
  /** The newest finished or running runs, oldest first. */
  recent: { id: string; name: string; state_type: StateType; state_name: string }[]
}

export interface Overview {
  now: string
  /** No flow has ever been registered. */
  first_run: boolean
  history: HistoryBucket[]
  states: StateCount[]
  counts: { flows: number; deployments: number; flow_runs: number; task_runs: number }
  attention: Reason[]
  flows: FlowRow[]
}

export interface Page<T> {
  results: T[]
  count: number
}

export interface RunPoint {
  id: string
  name: string
  at: string
  seconds: number
  state_type: StateType
  state_name: string
}

export interface RunsPage extends Page<RunRow> {
  points: RunPoint[]
}

export interface FlowPanel {
  flow: Flow
  states: StateCount[]
  deployments: DeploymentRow[]
  recent: RunRow[]
}

export interface Deployment {
  id: string
  name: string
  flow_id: string
  tags: string[]
  parameters: Record<string, unknown>
  parameter_openapi_schema?: JsonSchema | null
  schedule: Schedule | null
  is_schedule_active: boolean
  description?: string | null
  version?: string | null
  entrypoint?: string | null
  path?: string | null
  flow_runner?: { type: string | null; config: Record<string, unknown> | null } | null
  flow_data?: { encoding: string; blob?: string } | null
  created: string
  updated: string
}

export interface DeploymentPage {
  deployment: Deployment
  flow: Flow
  upcoming: RunRow[]
  recent: RunRow[]
  states: StateCount[]
  queues: { id: string; name: string; is_paused: boolean; last_polled: string | null }[]
}

export interface JsonSchema {
  type?: string | string[]
  title?: string
  description?: string
  default?: unknown
  enum?: unknown[]
  properties?: Record<string, JsonSchema>
  required?: string[]
  items?: JsonSchema
  anyOf?: JsonSchema[]
  format?: string
  position?: number
  minimum?: number
  maximum?: number
}

export interface RunPage {
  now: string
  run: FlowRun
  flow: Flow
  deployment: { id: string; name: string } | null
  parent: { flow_run_id: string; flow_run_name: string; flow_name: string } | null
  states: State[]
  task_states: StateCount[]
  task_failures: { id: string; name: string; state_name: string; message: string | null }[]
  counts: { task_runs: number; subflow_runs: number; logs: number }
  subflows: RunRow[]
}

/** A run's graph in columns, since ten thousand objects with keys would be mostly keys. */
export interface GraphColumns {
  id: string[]
  name: string[]
  task_key: string[]
  state_type: (StateType | null)[]
  state_name: (string | null)[]
  /** Milliseconds since the epoch. */
  start: (number | null)[]
  end: (number | null)[]
  /** Indices of the nodes that each node waits for. */
  upstream: number[][]
  /** The subflow run that the node stands for. */
  child: (string | null)[]
}

export interface Log {
  id: string
  timestamp: string
  level: number
  name: string
  message: string
  task_run_id: string | null
  task_run_name: string | null
}

export interface TaskRunPage {
  task_run: FlowRun & { task_key: string; dynamic_key: string; flow_run_id: string | null; task_inputs: Record<string, unknown>; cache_key: string | null; empirical_policy: Record<string, unknown> }
  flow_run: { id: string; name: string; flow_name: string } | null
  states: State[]
  counts: { logs: number }
}

export interface QueueRow {
  id: string
  name: string
  description: string | null
  is_paused: boolean
  concurrency_limit: number | null
  filter: { tags: string[] | null; deployment_ids: string[] | null; flow_runner_types: string[] | null } | null
  last_polled: string | null
  agents: { name: string; last_activity_time: string }[]
  due: number
  upcoming: number
  active: number
  late: number
}

export interface QueuePage extends QueueRow {
  runs: RunRow[]
  running: RunRow[]
}

export interface LimitRow {
  id: string
  tag: string
  concurrency_limit: number
  created: string
  holders: { id: string; name: string; flow_run_id: string | null; flow_run_name: string | null; since: string | null }[]
}

export interface BlockRow {
  id: string
  name: string
  type_name: string
  kind: string | null
  is_default: boolean
  created: string
  updated: string
  /** Secrets arrive masked. */
  data: Record<string, unknown>
  schema: JsonSchema | null
}

export interface Info {
  version: string
  api_version: string
  database: string
  settings: { name: string; value: unknown; secret?: boolean }[]
  pages: string[]
}

export interface Explanation {
  flow_run_id: string
  state_name: string | null
  waiting: boolean
  reasons: Reason[]
}

export interface Change {
  kind: string
  id: string
  flow_run_id?: string | null
  flow_id?: string | null
  state_type?: StateType | null
  state_name?: string | null
}
