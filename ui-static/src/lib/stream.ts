// One connection to the stream of changes, from its start to its end. It runs in a page and in a worker alike.

import { EventReader, type ServerEvent } from './sse'

/** How a connection went: `barred` asks who somebody is, `full` is one too many. */
export type End = 'ended' | 'refused' | 'barred' | 'unreachable' | 'full'

export interface Ask {
  url: string
  /** Who asks. */
  headers: Record<string, string>
  /** The last batch that was heard, by which the server knows where to go on. */
  last: string | null
}

/** Told what has come; nothing is a sign of life. */
export type Hear = (events: ServerEvent[]) => void

/** What a window says to the worker. */
export type Said = { ask: Ask } | 'here' | 'bye'
/** What the worker says to a window. */
export type Told = { events: ServerEvent[] } | { end: End }

/** The server beats every ten seconds; twice that in silence is a dead connection. */
export const SILENCE_MS = 25_000
/** A window says so often that it is still there; a port does not tell that its window has crashed. */
export const HERE_MS = 20_000

export async function listen({ url, headers, last }: Ask, hear: Hear, stop: AbortSignal): Promise<End> {
  let end: End = 'unreachable'
  const silent = new AbortController()
  const wait = () => setTimeout(() => silent.abort(), SILENCE_MS)
  let timer = wait()
  try {
    const all = { ...headers, accept: 'text/event-stream', ...(last ? { 'last-event-id': last } : {}) }
    const response = await fetch(url, {
      headers: all,
      signal: AbortSignal.any([stop, silent.signal]),
      cache: 'no-store',
    })
    end = response.status === 401 ? 'barred' : 'refused'
    if (!response.ok || !response.body) return end
    const reader = new EventReader()
    const decoder = new TextDecoder()
    const body = response.body.getReader()
    for (;;) {
      const { done, value } = await body.read()
      if (done) return end
      end = 'ended'
      clearTimeout(timer)
      timer = wait()
      hear(reader.take(decoder.decode(value, { stream: true })))
    }
  } catch {
    return end
  } finally {
    clearTimeout(timer)
  }
}
