// Names of things that a page knows by their ids. They are asked for all at once, and kept: a name hardly changes.

import { api } from './api'
import { pageOf } from './events'
import type { Named } from './types'

/** By the words of events: `prefect.deployment.<id>`. Null is for what is not there any more. */
let known = $state.raw<ReadonlyMap<string, Named | null>>(new Map())
/** Who waits for an answer, or for being asked with the others. */
const wanted = new Set<string>()
let next: string[] = []

export const resourceOf = (kind: string, id: string): string => `prefect.${kind}.${id}`

/** The block that a value refers to, as events call it. */
export function blockOf(value: unknown): string | null {
  const ref = (value as { $ref?: { block_document_id?: unknown } } | null)?.$ref
  const id = typeof ref === 'string' ? ref : ref?.block_document_id
  return typeof id === 'string' ? resourceOf('block-document', id) : null
}

/** The name of a thing, as far as it is known; undefined while nobody has said anything. */
export const named = (resource: string): Named | null | undefined => known.get(resource)

/** Asks for a name, unless it is known. */
export function want(resource: string) {
  if (known.has(resource) || wanted.has(resource)) return
  wanted.add(resource)
  if (!next.length) setTimeout(ask)
  next.push(resource)
}

async function ask() {
  const ids = next
  next = []
  try {
    const answer = new Map((await api.names(ids)).map((one) => [one.id, one]))
    known = new Map([...known, ...ids.map((id): [string, Named | null] => [id, answer.get(id) ?? null])])
  } catch {
    // The id stands where the name would, and the next who wants it asks again.
  }
  for (const id of ids) wanted.delete(id)
}

/** Where a thing is shown; null where it has no page. */
export function pathOf(resource: string): string | null {
  const one = named(resource)
  if (one === null) return null
  const kind = resource.split('.')[1]
  if (kind === 'block-document') return '/blocks'
  if (kind === 'concurrency-limit') return '/concurrency-limits'
  // The queue of a pool is shown with its pool.
  if (kind === 'work-queue' && one?.of) return `/work-pool/${encodeURIComponent(one.of)}`
  return pageOf({ 'prefect.resource.id': resource, 'prefect.resource.name': one?.name ?? '' })
}
