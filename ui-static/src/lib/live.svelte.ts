// The push channel: the stream of changes while the page is visible, polling when it breaks, nothing when hidden.

import { API } from './base'
import { now, onSkew, skew } from './clock'
import { firstSeen } from './seen'
import { session } from './session.svelte'
import type { ServerEvent } from './sse'
import type { End } from './stream'
import type { Change } from './types'
import { listenTogether } from './windows'

export type Link = 'connecting' | 'live' | 'polling' | 'offline'

type Listener = (changes: Change[]) => void

const POLL_MS = 10_000
/** How long the first stream waits for the answer that says where it begins. */
const PATIENCE_MS = 2000
const PAUSES_MS = [500, 1000, 2000, 5000, 10_000]

class Live {
  link = $state<Link>('connecting')
  /** When something last arrived, a heartbeat included. */
  heard = $state(now())
  /** Ticks each second while visible, for ages and running durations; by the server's clock. */
  now = $state(now())
  /** By how many milliseconds the server's clock is ahead of this computer's. */
  skew = $state(0)

  #listeners = new Set<Listener>()
  #abort: AbortController | null = null
  /** The last batch that arrived, by which the server knows where to go on. */
  #last: string | null = null
  /** Whether something may have happened between the first answer and the first stream. */
  #isBlind = false
  #poll: ReturnType<typeof setInterval> | undefined
  #tick: ReturnType<typeof setInterval> | undefined
  #started = false

  start() {
    if (this.#started) return
    this.#started = true
    document.addEventListener('visibilitychange', () => (document.hidden ? this.#pause() : this.#resume()))
    addEventListener('online', () => this.#resume())
    // What was asked for before was of the wrong hours.
    onSkew(() => {
      this.skew = skew()
      this.now = this.heard = now()
      this.#emit([])
    })
    session.onEntered(() => this.#emit([]))
    if (!document.hidden) this.#resume()
  }

  /** Calls `listener` with each batch; an empty batch means "something may have changed". */
  subscribe(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** A request was answered: the server is there, whatever the stream says. */
  answered() {
    this.heard = now()
    if (this.link === 'offline') this.link = 'polling'
  }

  refused() {
    if (this.link !== 'live') this.link = 'offline'
  }

  #emit(changes: Change[]) {
    for (const listener of this.#listeners) listener(changes)
  }

  #resume() {
    this.#tick ??= setInterval(() => (this.now = now()), 1000)
    this.now = now()
    if (!this.#abort) void this.#follow((this.#abort = new AbortController()))
  }

  /** Keeps one stream open until the page is hidden. */
  async #follow(abort: AbortController) {
    // A stream that began when it is opened would not tell what happened since the page was read.
    this.#last ??= await Promise.race([firstSeen, pause(PATIENCE_MS, abort.signal).then(() => null)])
    this.#isBlind = !this.#last
    for (let failures = 0; !abort.signal.aborted; failures++) {
      const end = await this.#listen(abort.signal)
      if (abort.signal.aborted) return
      // To ask again and again for somebody who does not sign in would only fill the server's log.
      if (session.dismissed) {
        clearInterval(this.#poll)
        this.#poll = undefined
        await entered(abort.signal)
        if (abort.signal.aborted) return
        this.#isBlind = true
        continue
      }
      if (end === 'ended') failures = 0
      // Nobody there to refuse: said at once, not when the next request has failed too.
      this.link = end === 'unreachable' ? 'offline' : 'polling'
      this.#poll ??= setInterval(() => this.#emit([]), POLL_MS)
      await pause(PAUSES_MS[Math.min(failures, PAUSES_MS.length - 1)]!, abort.signal)
    }
  }

  /** One connection from its start to its end; tells how it went. */
  async #listen(stop: AbortSignal): Promise<End> {
    for (;;) {
      const ask = { url: `${API}/ui/stream`, headers: session.headers(), last: this.#last }
      const end = await listenTogether(ask, (events) => this.#hear(events), stop)
      if (end !== 'barred') return end
      if (stop.aborted || !(await session.ask())) return 'refused'
    }
  }

  #opened() {
    const isBack = this.link === 'polling' || this.link === 'offline'
    this.link = 'live'
    this.heard = now()
    clearInterval(this.#poll)
    this.#poll = undefined
    // The stream tells what has changed, not which requests failed while it was away.
    if (isBack || this.#isBlind) this.#emit([])
    this.#isBlind = false
  }

  #hear(events: ServerEvent[]) {
    session.welcome()
    this.#opened()
    for (const { name, data, id } of events) {
      if (id) this.#last = id
      if (name === 'changes') this.#emit(JSON.parse(data) as Change[])
      // More happened than is kept, or the server is another one now: look again.
      else if (name === 'lost') this.#emit([])
    }
  }

  #pause() {
    this.#abort?.abort()
    this.#abort = null
    clearInterval(this.#poll)
    clearInterval(this.#tick)
    this.#poll = this.#tick = undefined
  }
}

/** Resolves when somebody has signed in, or nobody waits for that any more. */
const entered = (signal: AbortSignal) =>
  new Promise<void>((done) => {
    const stop = session.onEntered(() => (stop(), done()))
    signal.addEventListener('abort', () => (stop(), done()), { once: true })
  })

const pause = (ms: number, signal: AbortSignal) =>
  new Promise<void>((done) => {
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', () => (clearTimeout(timer), done()), { once: true })
  })

export const live = new Live()
