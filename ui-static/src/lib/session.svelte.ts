// Who this browser is, for a server that asks.

import { headers, keep, read } from './credentials'

class Session {
  /** Whether the server waits for credentials. */
  asking = $state(false)
  /** Whether credentials were refused, rather than missing. */
  refused = $state(false)
  #credentials = read()
  #waiting: ((given: boolean) => void)[] = []

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
    keep(this.#credentials)
    this.#answer(true)
  }

  dismiss() {
    this.dismissed = true
    this.#answer(false)
  }

  /** Asks again, after somebody has gone without. */
  reopen() {
    this.dismissed = false
    location.reload()
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
