// Events for the feed: names for people, and where a resource has a page.

import type { EventRow } from './types'

export type Resource = Record<string, string>

export const idOf = (resource: Resource): string => resource['prefect.resource.id'] ?? ''
export const nameOf = (resource: Resource): string =>
  resource['prefect.resource.name'] || resource['prefect.name'] || idOf(resource)
export const roleOf = (resource: Resource): string => resource['prefect.resource.role'] ?? ''

const PAGES: Record<string, string> = {
  'flow-run': '/flow-run/',
  'task-run': '/task-run/',
  deployment: '/deployment/',
  automation: '/automation/',
  'work-queue': '/work-queue/',
}

/** The page of a resource, if it has one here. */
export function pageOf(resource: Resource): string | null {
  const match = /^prefect\.([\w-]+)\.([0-9a-f-]{36})$/.exec(idOf(resource))
  if (!match) return null
  if (match[1] === 'flow') return `/?panel=flow:${match[2]}`
  if (match[1] === 'work-pool')
    return nameOf(resource) === idOf(resource) ? null : `/work-pool/${encodeURIComponent(nameOf(resource))}`
  const path = PAGES[match[1]!]
  return path ? path + match[2] : null
}

/** What kind of thing a resource is, in words. */
export const kindOf = (resource: Resource): string =>
  roleOf(resource).replaceAll('-', ' ') ||
  (/^prefect\.([\w-]+)\./.exec(idOf(resource))?.[1]?.replaceAll('-', ' ') ?? 'resource')

/** `prefect.flow-run.Completed` → family and what happened. */
export function parts(name: string): { family: string; what: string } {
  const at = name.lastIndexOf('.')
  return at < 0 ? { family: '', what: name } : { family: name.slice(0, at), what: name.slice(at + 1) }
}

/** The tone of an event: that of the state which it tells, else none. */
export function toneWord(event: EventRow): string | null {
  const { family, what } = parts(event.event)
  return /^prefect\.(flow|task)-run$/.test(family) ? what : null
}

/** The token of the next page, whose whole address may name a host that only the server's proxy knows. */
export const nextToken = (address: string | null | undefined): string | null =>
  /[?&]page-token=([^&]+)/.exec(address ?? '')?.[1] ?? null
