// Requests that are sent before the page which needs their answers is there.

import { API } from './base'
import { headers, read } from './credentials'

export interface Ahead {
  /** By this computer's clock. */
  sent: number
  response: Promise<Response>
}

const asked = new Map<string, Ahead>()
/** An answer that is older than this is asked for anew. Of what changes meanwhile the stream tells. */
const KEPT_MS = 15_000

/** Sends a request whose answer somebody will ask for by the same name soon. */
export function askAhead(name: string, path: string, body?: unknown) {
  const init = body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }
  const type: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/json' }
  const one: Ahead = {
    sent: Date.now(),
    response: fetch(API + path, { ...init, headers: { accept: 'application/json', ...type, ...headers(read()) } }),
  }
  one.response.catch(() => null)
  asked.set(name, one)
  setTimeout(() => asked.get(name) === one && asked.delete(name), KEPT_MS)
}

/** What was asked for ahead by that name; nobody else is given it. */
export function takeAhead(name: string): Ahead | undefined {
  const one = asked.get(name)
  asked.delete(name)
  return one
}

const run = (id: string) => [`/ui/flow_runs/${encodeURIComponent(id)}`, `/ui/flow_runs/${encodeURIComponent(id)}/graph`]

/** What pages ask for first, where their address alone tells it. */
const FIRST: [RegExp, (id: string) => string[]][] = [[/^\/flow-run\/([^/]+)\/?$/, run]]

/** Asks for what the page of a path will ask for first. */
export function askForPage(path: string) {
  for (const [pattern, first] of FIRST) {
    const found = pattern.exec(path)
    if (found) for (const one of first(plain(found[1]!))) askAhead(one, one)
  }
}

/** A part of a path as text; a stray percent sign stands for itself. */
export function plain(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}
