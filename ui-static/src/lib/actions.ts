// What a person does to runs and deployments, with the notice that says what happened.

import { api, type SetState } from './api'
import { now } from './clock'
import { toasts } from './toasts.svelte'
import { away } from './time'

/** Schedules a run of a deployment now; resolves when the server has answered. */
export async function quickRun(deployment: string): Promise<void> {
  try {
    scheduled(await api.createRun(deployment, { state: { type: 'SCHEDULED', message: 'Quick run through UI' } }))
  } catch (error) {
    toasts.fail('The run was not scheduled', error)
  }
}

/** Says that a run was made, and leads to it. */
export function scheduled(run: { id: string; name: string }, at?: Date) {
  toasts.add({
    kind: 'ok',
    title: 'Flow run scheduled',
    detail: at && at.getTime() > now() + 5000 ? `${run.name} starts ${away(at)}` : `${run.name} starts now`,
    link: { label: 'View run', path: `/flow-run/${run.id}` },
  })
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
