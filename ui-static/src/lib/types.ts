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
export type Deployment = S['DeploymentShown']
export type DeploymentSchedule = S['ScheduleShown']
export type PoolRow = S['PoolRow']
export type PoolQueueRow = S['PoolQueueRow']
export type PoolPage = S['PoolPage']
/** An event goes over the wire flat, with when the server received it beside its own members. */
export type EventRow = Omit<S['ReceivedEvent']['event'], 'resource' | 'related'> & {
  received: string
  resource: Record<string, string>
  related: Record<string, string>[]
}
export type EventPage = Omit<S['EventPage'], 'events'> & { events: EventRow[] }
export type AutomationRow = S['Automation']
export interface VariableRow {
  id: string
  name: string
  value: unknown
  tags: string[]
  updated: string
}
export interface ArtifactRow {
  id: string
  key: string | null
  type: string | null
  description: string | null
  data: unknown
  metadata_: Record<string, string> | null
  flow_run_id: string | null
  task_run_id: string | null
  created: string
  updated: string
}
export type ArtifactLatest = ArtifactRow & { key: string; latest_id: string }
export type DeploymentPage = S['DeploymentPage']
export type RunPage = S['RunPage']
export type GraphColumns = S['Graph']
export type ResultRow = S['ResultRow']
export type Log = S['LogRow']
export type TaskRunPage = S['TaskRunPage']
export type QueueRow = S['QueueRow']
export type QueuePage = S['QueuePage']
export type LimitRow = S['LimitRow']
export type BlockRow = S['BlockText']
export interface NotificationPolicy {
  id: string
  is_active: boolean
  state_names: string[]
  tags: string[]
  block_document_id: string
  message_template: string | null
}
export interface BlockType {
  id: string
  name: string
  slug: string
  description: string | null
}
export interface BlockSchema {
  id: string
  fields: unknown
}
export type Named = S['NamedThing']
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
  const?: unknown
  properties?: Record<string, JsonSchema>
  additionalProperties?: unknown
  required?: string[]
  patternProperties?: unknown
  propertyNames?: JsonSchema
  minProperties?: number
  maxProperties?: number
  items?: JsonSchema | JsonSchema[]
  /** The places of a tuple; older drafts have them in `items`. */
  prefixItems?: JsonSchema[]
  additionalItems?: unknown
  anyOf?: JsonSchema[]
  oneOf?: JsonSchema[]
  discriminator?: { propertyName?: string; mapping?: unknown }
  allOf?: JsonSchema[]
  nullable?: boolean
  $ref?: string
  definitions?: Record<string, JsonSchema>
  $defs?: Record<string, JsonSchema>
  format?: string
  /** The type of block that stands here. */
  block_type_slug?: string
  writeOnly?: boolean
  position?: number
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number | boolean
  exclusiveMaximum?: number | boolean
  minLength?: number
  maxLength?: number
  pattern?: string
  minItems?: number
  maxItems?: number
  uniqueItems?: boolean
  multipleOf?: number
}
