// The push channel: one stream of changes while the page is visible, polling when it breaks, nothing when hidden.

import { API } from './api'
import type { Change } from './types'

export type Link = 'connecting' | 'live' | 'polling' | 'offline'

type Listener = (changes: Change[]) => void

const POLL_MS = 10_000

class Live {
  link = $state<Link>('connecting')
  /** When something last arrived, a heartbeat included. */
  heard = $state(Date.now())
  /** Ticks each second while visible, for ages and running durations. */
  now = $state(Date.now())

  #listeners = new Set<Listener>()
  #source: EventSource | null = null
  #poll: ReturnType<typeof setInterval> | undefined
  #tick: ReturnType<typeof setInterval> | undefined
  #started = false
  #opened = false

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
    if (this.#source) return
    const source = new EventSource(`${API}/ui/stream`)
    this.#source = source
    source.onopen = () => {
      this.link = 'live'
      this.heard = Date.now()
      clearInterval(this.#poll)
      this.#poll = undefined
      // What happened while nobody listened is fetched once; the first time, the pages ask by themselves.
      if (this.#opened) this.#emit([])
      this.#opened = true
    }
    source.addEventListener('changes', (event) => {
      this.heard = Date.now()
      this.#emit(JSON.parse((event as MessageEvent<string>).data) as Change[])
    })
    source.addEventListener('beat', () => (this.heard = Date.now()))
    // The server could not keep every change for us: look again.
    source.addEventListener('lost', () => this.#emit([]))
    source.onerror = () => {
      if (this.link !== 'offline') this.link = 'polling'
      this.#poll ??= setInterval(() => this.#emit([]), POLL_MS)
      // The browser retries by itself unless the answer was a refusal.
      if (source.readyState === EventSource.CLOSED) {
        this.#source = null
        setTimeout(() => !document.hidden && this.#resume(), POLL_MS)
      }
    }
  }

  #pause() {
    this.#source?.close()
    this.#source = null
    clearInterval(this.#poll)
    clearInterval(this.#tick)
    this.#poll = this.#tick = undefined
  }
}

export const live = new Live()
