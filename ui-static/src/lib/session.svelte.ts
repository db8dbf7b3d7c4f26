// Who this browser is, for a server that asks. Kept in this tab only, and gone with it.

const KEY = 'prefect-rs.credentials'

/** `user:password` goes as Basic, anything else is a token. */
export function authorization(credentials: string): string {
  if (!credentials.includes(':')) return `Bearer ${credentials}`
  const bytes = new TextEncoder().encode(credentials)
  return `Basic ${btoa(String.fromCharCode(...bytes))}`
}

class Session {
  /** Whether the server waits for credentials. */
  asking = $state(false)
  /** Whether credentials were refused, rather than missing. */
  refused = $state(false)
  #credentials = read()
  #waiting: ((given: boolean) => void)[] = []

  headers(): Record<string, string> {
    return this.#credentials ? { authorization: authorization(this.#credentials) } : {}
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

function read(): string {
  try {
    return sessionStorage.getItem(KEY) ?? ''
  } catch {
    return ''
  }
}

function keep(credentials: string) {
  try {
    if (credentials) sessionStorage.setItem(KEY, credentials)
    else sessionStorage.removeItem(KEY)
  } catch {
    // Storage may be forbidden; the credentials then last as long as the page.
  }
}

export const session = new Session()
