// The push channel: one stream of changes while the page is visible, polling when it breaks, nothing when hidden.

import { send } from './api'
import { EventReader } from './sse'
import type { Change } from './types'

export type Link = 'connecting' | 'live' | 'polling' | 'offline'

type Listener = (changes: Change[]) => void

const POLL_MS = 10_000
/** The server beats every ten seconds; twice that in silence is a dead connection. */
const SILENCE_MS = 25_000
const PAUSES_MS = [500, 1000, 2000, 5000, 10_000]

class Live {
  link = $state<Link>('connecting')
  /** When something last arrived, a heartbeat included. */
  heard = $state(Date.now())
  /** Ticks each second while visible, for ages and running durations. */
  now = $state(Date.now())

  #listeners = new Set<Listener>()
  #abort: AbortController | null = null
  /** The last batch that arrived, by which the server knows where to go on. */
  #last: string | null = null
  #poll: ReturnType<typeof setInterval> | undefined
  #tick: ReturnType<typeof setInterval> | undefined
  #started = false

  start() {
    if (this.#started) return
    this.#started = true
    document.addEventListener('visibilitychange', () => (document.hidden ? this.#pause() : this.#resume()))
    addEventListener('online', () => this.#resume())
    if (!document.hidden) this.#resume()
  }

  /** Calls `listener` with each batch; an empty batch means "something may have changed". */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** A request was answered: the server is there, whatever the stream says. */
  answered() {
    this.heard = Date.now()
    if (this.link === 'offline') this.link = 'polling'
  }

  refused() {
    if (this.link !== 'live') this.link = 'offline'
  }

  #emit(changes: Change[]) {
    for (const listener of this.#listeners) listener(changes)
  }

  #resume() {
    this.#tick ??= setInterval(() => (this.now = Date.now()), 1000)
    this.now = Date.now()
    if (!this.#abort) void this.#follow((this.#abort = new AbortController()))
  }

  /** Keeps one stream open until the page is hidden. */
  async #follow(abort: AbortController) {
    for (let failures = 0; !abort.signal.aborted; failures++) {
      const opened = await this.#listen(abort.signal)
      if (abort.signal.aborted) return
      if (opened) failures = 0
      if (this.link !== 'offline') this.link = 'polling'
      this.#poll ??= setInterval(() => this.#emit([]), POLL_MS)
      await pause(PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)]!, abort.signal)
    }
  }

  /** One connection from its start to its end; tells whether it was opened. */
  async #listen(hidden: AbortSignal): Promise<boolean> {
    const silent = new AbortController()
    const listen = () => setTimeout(() => silent.abort(), SILENCE_MS)
    let timer = listen()
    try {
      const headers: Record<string, string> = { accept: 'text/event-stream' }
      if (this.#last) headers['last-event-id'] = this.#last
      const response = await send('/ui/stream', { headers, signal: AbortSignal.any([hidden, silent.signal]), cache: 'no-store' })
      if (!response.ok || !response.body) return false
      const reader = new EventReader()
      const decoder = new TextDecoder()
      const body = response.body.getReader()
      for (let first = true; ; first = false) {
        const { done, value } = await body.read()
        if (done) return !first
        clearTimeout(timer)
        timer = listen()
        this.#opened()
        for (const event of reader.take(decoder.decode(value, { stream: true }))) this.#hear(event.name, event.data, event.id)
      }
    } catch {
      return false
    } finally {
      clearTimeout(timer)
    }
  }

  #opened() {
    this.link = 'live'
    this.heard = Date.now()
    clearInterval(this.#poll)
    this.#poll = undefined
  }

  #hear(name: string, data: string, id: string | null) {
    if (id) this.#last = id
    if (name === 'changes') this.#emit(JSON.parse(data) as Change[])
    // More happened than the server keeps, or it is another one now: look again.
    else if (name === 'lost') this.#emit([])
  }

  #pause() {
    this.#abort?.abort()
    this.#abort = null
    clearInterval(this.#poll)
    clearInterval(this.#tick)
    this.#poll = this.#tick = undefined
  }
}

const pause = (ms: number, signal: AbortSignal) =>
  new Promise<void>((done) => {
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', () => (clearTimeout(timer), done()), { once: true })
  })

export const live = new Live()
