// An automation in words: what sets it off, and what it does then.

import { duration } from './time'

export interface Trigger {
  type?: string
  posture?: string
  expect?: string[]
  after?: string[]
  match?: Record<string, string | string[]>
  match_related?: Record<string, string | string[]> | Record<string, string | string[]>[]
  for_each?: string[]
  threshold?: number
  within?: number | null
  triggers?: Trigger[]
  require?: string | number
}

export interface Action {
  type: string
  source?: string
  deployment_id?: string | null
  automation_id?: string | null
  work_pool_id?: string | null
  work_queue_id?: string | null
  block_document_id?: string | null
  state?: string
  name?: string | null
  message?: string | null
  subject?: string
  schedule_after?: number | string | null
}

/** `a, b or c`. */
export const or = (words: string[]) => list(words)
const list = (words: string[], joint = 'or') =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} ${joint} ${words.at(-1)}`

/** `prefect.flow-run.Failed` as "flow run Failed"; names of other families stay as they are. */
export function eventWords(name: string): string {
  const match = /^prefect\.([\w-]+)\.([\w* -]+)$/.exec(name)
  if (!match) return name === '*' ? 'anything' : name
  const noun = match[1]!.replaceAll('-', ' ')
  return match[2] === '*' ? `any change of a ${noun}` : `${noun} ${match[2]!.replaceAll('-', ' ')}`
}

/** The conditions on a resource; `said` are the families that the names of the events tell already. */
function labels(match: Record<string, string | string[]> | undefined, said: string[] = []): string[] {
  return Object.entries(match ?? {}).flatMap(([label, value]) => {
    const values = Array.isArray(value) ? value : [value]
    if (label === 'prefect.resource.id' && values.every((v) => said.includes(v))) return []
    if (label === 'prefect.resource.id' && values.every((v) => /^prefect\.[\w-]+\.\*$/.test(v)))
      return `of any ${list(values.map((v) => v.split('.')[1]!.replaceAll('-', ' ')))}`
    return label === 'prefect.resource.id' ? `of ${list(values)}` : `with ${label} ${list(values)}`
  })
}

function related(of: Trigger['match_related']): string[] {
  return (Array.isArray(of) ? of : of ? [of] : [])
    .filter((one) => Object.keys(one).length)
    .map((one) => {
      const { 'prefect.resource.role': role, 'prefect.resource.name': name, ...rest } = one
      const words = (value: string | string[] | undefined) =>
        value === undefined ? '' : list(Array.isArray(value) ? value : [value])
      return ['related to', words(role) || 'something', words(name), ...labels(rest)].filter(Boolean).join(' ')
    })
}

/** The trigger in words, a line for itself and one for each inside; `depth` is how far to the right a line stands. */
export function triggerLines(trigger: Trigger, depth = 0): { depth: number; text: string }[] {
  const within = trigger.within ? ` within ${duration(trigger.within)}` : ''
  const inside = (trigger.triggers ?? []).flatMap((one) => triggerLines(one, depth + 1))
  if (trigger.type === 'compound') {
    const how =
      trigger.require === 'all'
        ? 'all of these happen'
        : trigger.require === 'any' || trigger.require === 1
          ? 'any of these happens'
          : `${trigger.require} of these happen`
    return [{ depth, text: `${depth ? '' : 'When '}${how}${within}` }, ...inside]
  }
  if (trigger.type === 'sequence')
    return [{ depth, text: `${depth ? '' : 'When '}these happen in order${within}` }, ...inside]
  const what = trigger.expect?.length ? list(trigger.expect.map(eventWords)) : 'anything'
  const families = (trigger.expect ?? []).map((name) => name.replace(/[^.]*$/, '*'))
  const which = [
    ...labels(trigger.match, families.every((f) => f === families[0]) ? families : []),
    ...related(trigger.match_related),
  ].join(', ')
  const apart = trigger.for_each?.length
    ? `, counted for each ${list(
        trigger.for_each.map((l) => l.replace('prefect.resource.id', 'resource')),
        'and',
      )}`
    : ''
  const after = trigger.after?.length ? ` after ${list(trigger.after.map(eventWords))}` : ''
  const times = (trigger.threshold ?? 1) > 1 ? ` ${trigger.threshold} times` : ''
  const text =
    trigger.posture === 'Proactive'
      ? `${what}${which ? ` ${which}` : ''} does not happen${times}${after}${within}${apart}`
      : `${what}${which ? ` ${which}` : ''} happens${times}${after}${within}${apart}`
  return [{ depth, text: depth ? text : `When ${text}` }]
}

/** What an action acts on: its words, where its id is, and what events call it. */
const OBJECTS: Record<string, [string, keyof Action | null, string]> = {
  deployment: ['deployment', 'deployment_id', 'deployment'],
  'work-pool': ['work pool', 'work_pool_id', 'work-pool'],
  'work-queue': ['work queue', 'work_queue_id', 'work-queue'],
  automation: ['automation', 'automation_id', 'automation'],
  'flow-run': ['flow run', null, ''],
}

/** An action in words; what it acts on is called as events call it. */
export function actionWords(action: Action): string {
  const block = action.block_document_id ? `prefect.block-document.${action.block_document_id}` : 'a block'
  if (action.type === 'do-nothing') return 'Do nothing'
  if (action.type === 'change-flow-run-state')
    return `Set the flow run to ${action.name ?? action.state ?? 'another state'}`
  if (action.type === 'send-notification') return `Send “${action.subject ?? ''}” through ${block}`
  if (action.type === 'call-webhook') return `Call the webhook of ${block}`
  const match = /^(run|pause|resume|cancel|suspend|delete)-([\w-]+)$/.exec(action.type)
  const of = match && OBJECTS[match[2]!]
  if (!match || !of) return action.type
  const [noun, field, kind] = of
  const verb = match[1]![0]!.toUpperCase() + match[1]!.slice(1)
  const id = field && (action[field] as string | null | undefined)
  const later =
    match[1] === 'run' && action.schedule_after
      ? `, ${typeof action.schedule_after === 'number' ? duration(action.schedule_after) : action.schedule_after} later`
      : ''
  return id ? `${verb} prefect.${kind}.${id}${later}` : `${verb} the ${noun} that the event is about${later}`
}
