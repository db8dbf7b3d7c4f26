// Who this browser is, for a server that asks.

import { headers, keep, read } from './credentials'

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

  headers(): Record<string, string> {
    return headers(this.#credentials)
  }

  get isKnown(): boolean {
    return this.#credentials !== ''
  }

  /** Called for each request that was refused; resolves when a person has answered, true to try again. */
  ask(): Promise<boolean> {
    if (this.dismissed) return Promise.resolve(false)
    if (!this.asking) this.refused = this.#credentials !== ''
    this.asking = true
    return new Promise((done) => this.#waiting.push(done))
  }
  /** A person who chose to go without is not asked at every request. */
  dismissed = $state(false)

  give(credentials: string) {
    this.#credentials = credentials.trim()
    this.tried = true
    keep(this.#credentials)
    this.#answer(true)
    if (!this.#isReturning) return
    this.#isReturning = false
    for (const listener of this.#entered) listener()
  }

  /** Called for each answer that was not refused. */
  welcome() {
    if (this.welcomed && !this.tried) return
    this.welcomed = true
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

  forget() {
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
