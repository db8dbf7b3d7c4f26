// What a person does to runs and deployments, with the notice that says what happened.

import { api, type SetState } from './api'
import { now } from './clock'
import { sentence } from './reasons'
import { toasts } from './toasts.svelte'
import { away } from './time'
import { isMask } from './mask'
import { go } from './router.svelte'
import type { Deployment, JsonSchema } from './types'

/** What each run of a deployment must be given, since neither the deployment sets it nor its flow has a default. */
export function needed({ parameter_openapi_schema: schema, parameters }: Deployment): string[] {
  const { required, properties } = (schema ?? {}) as JsonSchema
  const isSet = (name: string) => {
    const [value, own] = [(parameters as Record<string, unknown>)[name], properties?.[name]]
    return (value !== undefined && !isMask(value, own)) || (own?.default !== undefined && !isMask(own.default, own))
  }
  return Array.isArray(required) ? required.filter((name) => !isSet(name)) : []
}

/** Where the custom run of a deployment is open. */
const customRun = (deployment: string) => `/deployment/${deployment}?run=custom`

/** Schedules a run of a deployment now, or opens the form where one needs more; resolves when the server has answered. */
export async function quickRun(deployment: string, known?: Deployment): Promise<void> {
  try {
    if (needed(known ?? (await api.deployment(deployment)).deployment).length) return go(customRun(deployment))
    scheduled(await api.createRun(deployment, { state: { type: 'SCHEDULED', message: 'Quick run through UI' } }))
  } catch (error) {
    toasts.fail('The run was not scheduled', error)
  }
}

/** Of these a run that is due is taken, or has been. */
const TAKEN = ['soon', 'starting']

/** Says that a run was made, and leads to it. Whether it starts is said as soon as the server has told what it waits for. */
export function scheduled(run: { id: string; name: string }, at?: Date) {
  const ahead = at ? at.getTime() - now() : 0
  const id = toasts.add({
    kind: 'ok',
    title: 'Flow run scheduled',
    detail: at && ahead > 5000 ? `${run.name} starts ${away(at)}` : `${run.name} is due at once`,
    link: { label: 'View run', path: `/flow-run/${run.id}` },
  })
  if (ahead > 5000) return
  api.explain(run.id).then(
    ({ reasons: [first] }) => {
      const starts = !first || TAKEN.includes(first.code)
      if (!starts) toasts.change(id, `${run.name} is scheduled. ${sentence(first.summary)}`)
      else if (!at) toasts.change(id, `${run.name} starts now`)
    },
    // That it is due was true without it.
    () => null,
  )
}

/** Does something and tells when it failed; true when it worked. */
export async function attempt(what: string, action: () => Promise<unknown>, done?: string): Promise<boolean> {
  toasts.refusal = null
  try {
    await action()
    if (done) toasts.add({ kind: 'ok', title: done })
    return true
  } catch (error) {
    toasts.fail(what, error)
    return false
  }
}

export const RETRY: SetState = { type: 'SCHEDULED', name: 'AwaitingRetry', message: 'Retried through UI' }

export async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text)
    return true
  } catch {
    // No clipboard without a secure context: plain HTTP on another host. The old way still works there.
    const area = document.createElement('textarea')
    area.value = text
    area.className = 'sr-only'
    document.body.append(area)
    area.select()
    const done = document.execCommand('copy')
    area.remove()
    return done
  }
}
