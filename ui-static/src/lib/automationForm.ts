// An automation field by field: what most triggers and actions say. What these fields cannot say stays JSON.

import type { Action, Trigger } from './automations'
import { STATE_NAMES } from './states'

export type Family = 'flow-run' | 'deployment' | 'work-pool' | 'work-queue'

/** What can be watched: its words, and what it can come into, as events name it. */
export const FAMILIES: [Family, string, string[]][] = [
  ['flow-run', 'A flow run', STATE_NAMES],
  ['deployment', 'A deployment', ['ready', 'not-ready']],
  ['work-pool', 'A work pool', ['ready', 'not-ready', 'paused']],
  ['work-queue', 'A work queue', ['ready', 'not-ready', 'paused']],
]

/** What is counted apart: a label of the event or of something related, and its words. */
export const APART: [string, string][] = [
  ['', 'all together'],
  ['related:deployment:prefect.resource.id', 'for each deployment'],
  ['related:flow:prefect.resource.id', 'for each flow'],
  ['prefect.resource.id', 'for each of them'],
]

export interface Watch {
  family: Family
  /** Whether it sets off when one has been in a state for so long, rather than when it comes into it. */
  stays: boolean
  /** The states, as events name them; none is any. */
  states: string[]
  /** Ids of flows for runs, of the watched things themselves otherwise; none is any. */
  only: string[]
  /** Tags of runs, any of which is enough. */
  tags: string[]
  times: number
  apart: string
  /** In which so many come, or for how long it stays. */
  seconds: number
}

const SELF = 'prefect.resource.id'
const ROLE = 'prefect.resource.role'
const few = (list: string[]) => (list.length === 1 ? list[0]! : list)

/** The trigger that says what the fields do. */
export function toTrigger(w: Watch): Trigger {
  const any = `prefect.${w.family}.*`
  const events = w.states.map((state) => `prefect.${w.family}.${state}`)
  const ofRuns = w.family === 'flow-run'
  const own = ofRuns || !w.only.length ? any : few(w.only.map((id) => `prefect.${w.family}.${id}`))
  const related = [
    ...(ofRuns && w.only.length ? [{ [ROLE]: 'flow', [SELF]: few(w.only.map((id) => `prefect.flow.${id}`)) }] : []),
    ...(ofRuns && w.tags.length ? [{ [ROLE]: 'tag', [SELF]: few(w.tags.map((tag) => `prefect.tag.${tag}`)) }] : []),
  ]
  const base = { type: 'event', match: { [SELF]: own }, match_related: related.length === 1 ? related[0]! : related }
  if (w.stays)
    return {
      ...base,
      posture: 'Proactive',
      after: events,
      expect: [any],
      for_each: [SELF],
      threshold: 1,
      within: w.seconds,
    }
  const isCounted = w.times > 1
  return {
    ...base,
    posture: 'Reactive',
    after: [],
    expect: events.length ? events : [any],
    for_each: isCounted && w.apart ? [w.apart] : [],
    threshold: w.times,
    within: isCounted ? w.seconds : 0,
  }
}

/** A trigger with nothing left to its defaults and lists in one order, so that two that mean the same are the same text. */
function canonical(trigger: Trigger): string {
  const sorted = (list: string[] | undefined) => [...(list ?? [])].sort()
  const labels = (of: Record<string, string | string[]> | undefined) =>
    Object.entries(of ?? {})
      .map(([label, value]) => [label, sorted([value].flat())])
      .sort()
  const {
    id: _,
    type = 'event',
    match,
    match_related,
    after,
    expect,
    for_each,
    posture,
    threshold = 1,
    within,
    ...more
  } = trigger as Trigger & { id?: string }
  const related = [match_related ?? []]
    .flat()
    .filter((one) => Object.keys(one).length)
    .map(labels)
  return JSON.stringify([
    type,
    labels(match),
    related.map((one) => JSON.stringify(one)).sort(),
    sorted(after),
    sorted(expect),
    sorted(for_each),
    posture,
    threshold,
    within ?? 0,
    more,
  ])
}

/** The fields of a trigger; null if they cannot say all of it. */
export function toWatch(trigger: Trigger): Watch | null {
  const cut = (text: string, beginning: string) => (text.startsWith(beginning) ? text.slice(beginning.length) : null)
  const family = FAMILIES.map(([one]) => one).find((one) =>
    [trigger.expect ?? [], trigger.after ?? []].flat().some((name) => name.startsWith(`prefect.${one}.`)),
  )
  if (!family) return null
  const stays = trigger.posture === 'Proactive'
  const inside = (list: string[] | undefined, beginning: string) =>
    (list ?? []).flatMap((text) => cut(text, beginning) ?? []).filter((text) => text !== '*')
  const ofRole = (role: string) =>
    [trigger.match_related ?? []]
      .flat()
      .filter((one) => one[ROLE] === role)
      .flatMap((one) => one[SELF] ?? [])
  const watch: Watch = {
    family,
    stays,
    states: inside(stays ? trigger.after : trigger.expect, `prefect.${family}.`),
    only:
      family === 'flow-run'
        ? inside(ofRole('flow'), 'prefect.flow.')
        : inside([trigger.match?.[SELF] ?? []].flat(), `prefect.${family}.`),
    tags: family === 'flow-run' ? inside(ofRole('tag'), 'prefect.tag.') : [],
    times: trigger.threshold ?? 1,
    apart: stays ? '' : (trigger.for_each?.[0] ?? ''),
    seconds: trigger.within || 3600,
  }
  return canonical(toTrigger(watch)) === canonical(trigger) ? watch : null
}

/** What an action can be about, or be told through. */
export type Kin = 'deployment' | 'work-pool' | 'work-queue' | 'automation' | 'flow' | 'notifier' | 'webhook'

export interface Entry {
  name: string
  label: string
  kind: 'target' | 'block' | 'state' | 'text' | 'lines' | 'json' | 'seconds'
  /** Of a target or a block, which. */
  of?: Kin
  needed?: boolean
}

const target = (of: Kin, label: string): Entry => ({ name: `${of.replace('-', '_')}_id`, label, kind: 'target', of })
const deployment = target('deployment', 'Deployment')
const pool = target('work-pool', 'Work pool')
const queue = target('work-queue', 'Work queue')
const automation = target('automation', 'Automation')

/** What an automation can do: the type, its words, its fields. */
export const ACTIONS: [type: string, label: string, entries: Entry[]][] = [
  [
    'send-notification',
    'Send a notification',
    [
      { name: 'block_document_id', label: 'Through', kind: 'block', of: 'notifier', needed: true },
      { name: 'subject', label: 'Subject', kind: 'text', needed: true },
      { name: 'body', label: 'Message', kind: 'lines', needed: true },
    ],
  ],
  [
    'run-deployment',
    'Run a deployment',
    [
      deployment,
      { name: 'parameters', label: 'Parameters', kind: 'json' },
      { name: 'schedule_after', label: 'Seconds later', kind: 'seconds' },
    ],
  ],
  ['pause-deployment', 'Pause a deployment', [deployment]],
  ['resume-deployment', 'Resume a deployment', [deployment]],
  ['cancel-flow-run', 'Cancel the flow run', []],
  ['suspend-flow-run', 'Suspend the flow run', []],
  ['resume-flow-run', 'Resume the flow run', []],
  ['delete-flow-run', 'Delete the flow run', []],
  [
    'change-flow-run-state',
    'Set the flow run to a state',
    [
      { name: 'state', label: 'State', kind: 'state', needed: true },
      { name: 'name', label: 'Name of the state', kind: 'text' },
      { name: 'message', label: 'Message', kind: 'text' },
    ],
  ],
  ['pause-work-pool', 'Pause a work pool', [pool]],
  ['resume-work-pool', 'Resume a work pool', [pool]],
  ['pause-work-queue', 'Pause a work queue', [queue]],
  ['resume-work-queue', 'Resume a work queue', [queue]],
  ['pause-automation', 'Switch an automation off', [automation]],
  ['resume-automation', 'Switch an automation on', [automation]],
  [
    'call-webhook',
    'Call a webhook',
    [
      { name: 'block_document_id', label: 'Webhook', kind: 'block', of: 'webhook', needed: true },
      { name: 'payload', label: 'Payload', kind: 'lines' },
    ],
  ],
  ['do-nothing', 'Do nothing', []],
]

export const entriesOf = (type: string): Entry[] => ACTIONS.find(([one]) => one === type)?.[2] ?? []

/** A new action of a type, with what it must at least say. */
export function blank(type: string): Action {
  const entries = entriesOf(type)
  return {
    type,
    ...(entries.some((e) => e.kind === 'target') ? { source: 'selected' } : {}),
    ...(type === 'send-notification'
      ? {
          subject: 'Flow run {{ flow_run.name }} is {{ flow_run.state.name }}',
          body: '{{ flow.name }}: {{ flow_run.state.message }}',
        }
      : {}),
    ...(type === 'change-flow-run-state' ? { state: 'CANCELLED' } : {}),
    ...(type === 'run-deployment' ? { parameters: {} } : {}),
  }
}

/** What is still missing in an action. */
export function missing(action: Action): string | null {
  const given = action as unknown as Record<string, unknown>
  for (const e of entriesOf(action.type)) {
    if (e.kind === 'target' ? action.source !== 'inferred' && !given[e.name] : e.needed && !given[e.name])
      return e.label
  }
  return null
}
