// The shapes of the API under the names that the dashboard uses. All of them are generated from the
// server's document (`openapi.json`); here stands only what a schema cannot say.

import type { components } from './wire'

type S = components['schemas']

export type StateType = S['StateType']
export type State = S['StateRow']
export type Flow = S['FlowRef']
export type RunRow = S['RunRow']
export type TaskRunRow = S['TaskRunRow']
export type HistoryState = S['HistoryState']
export type HistoryBucket = S['HistoryBucket']
export type StateCount = S['StateCount']
export type Reason = S['Reason']
export type FlowRow = S['FlowRow']
export type DeploymentRow = S['DeploymentRow']
export type Overview = S['Overview']
export type RunPoint = S['Point']
export type RunsPage = S['RunsPage']
export type FlowPanel = S['FlowPanel']
/** Newer clients send a schema of the parameters and a description; the server passes on what it has. */
export type Deployment = S['DeploymentShown'] & { parameter_openapi_schema?: unknown; description?: string | null; version?: string | null; entrypoint?: string | null }
export type DeploymentPage = S['DeploymentPage']
export type RunPage = S['RunPage']
export type GraphColumns = S['Graph']
export type Log = S['LogRow']
export type TaskRunPage = S['TaskRunPage']
export type QueueRow = S['QueueRow']
export type QueuePage = S['QueuePage']
export type LimitRow = S['LimitRow']
export type BlockRow = S['BlockText']
export type Info = S['Info']
export type Explanation = S['Explanation']
export type Change = S['Change']
export type Ask = S['Ask']
export type LogAsk = S['LogAsk']

export interface Page<T> {
  results: T[]
  count: number
}

/** One of three kinds; each leaves the fields of the others out. */
export type Schedule = Partial<S['IntervalSchedule'] & S['CronSchedule'] & S['RRuleSchedule']>

/** JSON Schema as far as a form can show it; it is the user's own document, so nothing is certain. */
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
  allOf?: JsonSchema[]
  $ref?: string
  definitions?: Record<string, JsonSchema>
  $defs?: Record<string, JsonSchema>
  format?: string
  position?: number
  minimum?: number
  maximum?: number
}
