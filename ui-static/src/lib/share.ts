// What several windows hear of one connection, each from where it was.
//
// A window that joins has read its page already, up to some change. What came between that and the present is kept
// here, so that it is told the rest, or that too much is gone and it should look anew.

import type { ServerEvent } from './sse'
import { listen, type Ask, type End } from './stream'

export interface Listener {
  /** Up to where it knows what happened. */
  last: string | null
  hear: (events: ServerEvent[]) => void
  over: (end: End) => void
}

/** Characters of batches that are kept for who joins later. */
const KEPT = 500_000
/** An attempt that has just failed stands for those of the other windows too. */
const SAME_MS = 400

/** A mark's process and its number; null if it is none. */
function place(mark: string | null): [string, number] | null {
  const [, epoch, number] = /^(.*)-(\d+)$/.exec(mark ?? '') ?? []
  return epoch === undefined ? null : [epoch, Number(number)]
}

export class Shared {
  #listeners = new Set<Listener>()
  /** Listeners that have not been told yet where they are. */
  #fresh = new Set<Listener>()
  #stop = new AbortController()
  #isOpen = false
  /** What is kept goes back to here, and goes up to `#at`. */
  #from: string | null
  #at: string | null
  #kept: ServerEvent[] = []
  /** Of how many characters that is. */
  #size = 0

  constructor(ask: Ask, over: (end: End) => void) {
    this.#from = this.#at = ask.last
    void listen(ask, (events) => this.#hear(events), this.#stop.signal).then((end) => {
      over(end)
      for (const one of this.#listeners) one.over(end)
    })
  }

  join(one: Listener) {
    this.#listeners.add(one)
    if (this.#isOpen) one.hear(this.#since(one.last))
    else this.#fresh.add(one)
  }

  /** Lets one go; tells whether nobody is left, which ends the connection. */
  leave(one: Listener): boolean {
    this.#listeners.delete(one)
    this.#fresh.delete(one)
    if (this.#listeners.size) return false
    this.#stop.abort()
    return true
  }

  #hear(events: ServerEvent[]) {
    for (const event of events) {
      this.#isOpen = true
      if (event.id) this.#at = event.id
      if (event.name === 'lost' || this.#from === null) {
        this.#from = event.id
        this.#kept = []
        this.#size = 0
      } else if (event.name !== 'beat') this.#keep(event)
    }
    if (!this.#isOpen) return
    for (const one of this.#listeners) one.hear(this.#fresh.has(one) ? this.#since(one.last) : events)
    this.#fresh.clear()
  }

  #keep(event: ServerEvent) {
    this.#kept.push(event)
    this.#size += event.data.length
    while (this.#size > KEPT) {
      const oldest = this.#kept.shift()!
      this.#size -= oldest.data.length
      this.#from = oldest.id
    }
  }

  /** What one has missed that knows what happened up to its mark. */
  #since(last: string | null): ServerEvent[] {
    const here: ServerEvent = { name: 'beat', data: '{}', id: this.#at }
    // Who knows of nothing looks anew by itself.
    if (last === null) return [here]
    const [from, mine] = [place(this.#from), place(last)]
    if (last !== this.#from && (!from || !mine || from[0] !== mine[0] || mine[1] < from[1]))
      return [{ ...here, name: 'lost' }]
    return [...this.#kept.filter((event) => last === this.#from || (place(event.id)?.[1] ?? 0) > mine![1]), here]
  }
}

/** The connections that there are, one for each that somebody shows to be. */
export class Switchboard {
  #open = new Map<string, Shared>()
  #failed = new Map<string, { end: End; at: number }>()

  /** Connects a listener; gives the way to leave. */
  connect(ask: Ask, one: Listener): () => void {
    const key = JSON.stringify([ask.url, ask.headers])
    const failed = this.#failed.get(key)
    if (failed && Date.now() - failed.at < SAME_MS) {
      one.over(failed.end)
      return () => {}
    }
    let shared = this.#open.get(key)
    if (!shared) {
      const made = (shared = new Shared(ask, (end) => {
        if (this.#open.get(key) === made) this.#open.delete(key)
        if (end !== 'ended') this.#failed.set(key, { end, at: Date.now() })
        else this.#failed.delete(key)
      }))
      this.#open.set(key, made)
    }
    const mine = shared
    mine.join(one)
    return () => {
      if (mine.leave(one) && this.#open.get(key) === mine) this.#open.delete(key)
    }
  }
}
