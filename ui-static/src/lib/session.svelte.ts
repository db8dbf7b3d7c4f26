// Who this browser is, for a server that asks.

import { API } from './base'
import { headers, keep, read } from './credentials'

/** How long a window waits for another one to say who somebody is, before it asks them. */
const PATIENCE_MS = 250
/** What windows of this dashboard say to each other: who knows, it is this, and that somebody has signed out. */
type Word = 'who' | 'out' | { credentials: string }

class Session {
  /** Whether the server waits for credentials. */
  asking = $state(false)
  /** Whether credentials were refused, rather than missing. */
  refused = $state(false)
  /** Whether those that are refused have just been typed, rather than taken until now. */
  tried = $state(false)
  /** Whether the server has answered anything: then what a page shows is old, and not nothing. */
  welcomed = $state(false)
  /** Who was typed last; a wrong password does not take it away. */
  user = ''
  #credentials = read()
  #waiting: ((given: boolean) => void)[] = []
  #entered = new Set<() => void>()
  /** Whether somebody signs in who has gone without. */
  #isReturning = false
  /** Whether the server has not taken the credentials, or not yet. */
  #isRefused = false
  /** Only windows of this address hear it, and nothing of it is kept. */
  #others = typeof BroadcastChannel === 'undefined' ? null : new BroadcastChannel(`prefect-rs.session ${API}`)
  /** Takes what another window hands over. */
  #take: ((credentials: string) => void) | null = null

  constructor() {
    this.#others?.addEventListener('message', (event: MessageEvent<Word>) => this.#hear(event.data))
  }

  #hear(word: Word) {
    if (word === 'who') {
      if (this.#credentials && this.welcomed && !this.#isRefused) this.#tell({ credentials: this.#credentials })
    } else if (word === 'out') {
      if (this.#credentials) this.#leave()
    } else if (word.credentials !== this.#credentials) {
      if (this.#take) this.#take(word.credentials)
      else if (this.asking) this.#put(word.credentials)
    }
  }

  #tell(word: Word) {
    this.#others?.postMessage(word)
  }

  /** Asks the other windows; resolves to whether one of them knew, all who ask at once together. */
  #handed: Promise<boolean> | null = null
  #askOthers(): Promise<boolean> {
    if (!this.#others || this.asking) return Promise.resolve(false)
    return (this.#handed ??= new Promise<boolean>((done) => {
      const end = (known: boolean) => {
        clearTimeout(timer)
        this.#take = this.#handed = null
        done(known)
      }
      const timer = setTimeout(() => end(false), PATIENCE_MS)
      this.#take = (credentials) => {
        this.#put(credentials)
        end(true)
      }
      this.#tell('who')
    }))
  }

  headers(): Record<string, string> {
    return headers(this.#credentials)
  }

  get isKnown(): boolean {
    return this.#credentials !== ''
  }

  /** Called for each request that was refused; resolves when a person has answered, true to try again. */
  async ask(): Promise<boolean> {
    if (this.dismissed) return false
    this.#isRefused = true
    if (!this.tried && (await this.#askOthers())) return true
    // Somebody may have gone without while the others were asked.
    if (this.dismissed) return false
    if (!this.asking) this.refused = this.#credentials !== ''
    this.asking = true
    return new Promise((done) => this.#waiting.push(done))
  }
  /** A person who chose to go without is not asked at every request. */
  dismissed = $state(false)

  give(credentials: string) {
    this.tried = true
    this.#put(credentials.trim())
  }

  #put(credentials: string) {
    this.#credentials = credentials
    keep(credentials)
    this.#answer(true)
    if (!this.#isReturning) return
    this.#isReturning = false
    for (const listener of this.#entered) listener()
  }

  /** Called for each answer that was not refused. */
  welcome() {
    this.#isRefused = false
    if (this.welcomed && !this.tried) return
    this.welcomed = true
    if (this.tried && this.#credentials) this.#tell({ credentials: this.#credentials })
    this.tried = false
  }

  dismiss() {
    this.dismissed = true
    this.#answer(false)
  }

  /** Asks again, after somebody has gone without. */
  signIn() {
    this.dismissed = false
    this.refused = false
    this.#isReturning = true
    this.asking = true
  }

  /** Calls `listener` each time that somebody signs in who has gone without; what was refused has to be asked for again. */
  onEntered(listener: () => void): () => void {
    this.#entered.add(listener)
    return () => this.#entered.delete(listener)
  }

  get isBarred(): boolean {
    return this.dismissed && !this.welcomed
  }

  /** Signs out, in all windows: one that stays signed in would let this one in again. */
  forget() {
    this.#tell('out')
    this.#leave()
  }

  #leave() {
    this.#credentials = ''
    keep('')
    location.reload()
  }

  #answer(given: boolean) {
    this.asking = false
    const waiting = this.#waiting
    this.#waiting = []
    for (const done of waiting) done(given)
  }
}

export const session = new Session()
