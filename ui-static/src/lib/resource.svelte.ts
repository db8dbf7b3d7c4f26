// Data of a page: the last answer stays while the next one comes, and changes fetch it again.

import { untrack } from 'svelte'
import { live } from './live.svelte'
import type { Change } from './types'

/** Answers of pages seen before, so that going back shows something at once. */
const kept = new Map<string, unknown>()
const KEPT = 40
/** Answers that were asked for before the page that shows them was made. */
const coming = new Map<string, Promise<unknown>>()

/** Gives an answer to the resource that will have this key. */
export function foresee<T>(key: string, answer: Promise<T>) {
  coming.set(key, answer)
  answer.then(
    (data) => coming.has(key) && keep(key, data),
    () => null,
  )
}

function keep(key: string, data: unknown) {
  kept.delete(key)
  kept.set(key, data)
  if (kept.size > KEPT) kept.delete(kept.keys().next().value!)
}

export class Resource<T> {
  data = $state.raw<T | undefined>(undefined)
  error = $state<Error | undefined>(undefined)
  loading = $state(false)
  /** The key whose answer `data` is. */
  key = $state('')
  #abort: AbortController | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #asked = 0
  #fetch: ((signal: AbortSignal) => Promise<T>) | null = null

  /** Shows what is known of a key before it has been asked for. */
  begin(key: string) {
    if (key === this.key) return
    this.key = key
    this.error = undefined
    const old = kept.get(key)
    if (old !== undefined) this.data = old as T
    else if (keyPath(key) !== this.#path) this.data = undefined
    this.#path = keyPath(key)
  }
  #path = ''

  load(key: string, fetch: (signal: AbortSignal) => Promise<T>) {
    this.#fetch = fetch
    this.begin(key)
    this.refresh()
  }

  refresh = () => {
    if (!this.#fetch) return
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#abort?.abort()
    const abort = (this.#abort = new AbortController())
    const key = this.key
    this.loading = true
    this.#asked = Date.now()
    const ahead = coming.get(key) as Promise<T> | undefined
    coming.delete(key)
    ;(ahead ?? this.#fetch(abort.signal)).then(
      (data) => {
        if (abort.signal.aborted) return
        this.data = data
        this.error = undefined
        this.loading = false
        keep(key, data)
        live.answered()
      },
      (error: Error) => {
        if (abort.signal.aborted) return
        this.error = error
        this.loading = false
        if ('status' in error && error.status === 0) live.refused()
      },
    )
  }

  /** Asks again soon; a storm of changes costs a request a second at most. */
  soon() {
    if (this.#timer) return
    this.#timer = setTimeout(this.refresh, Math.max(120, this.#asked + 1000 - Date.now()))
  }

  stop() {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#abort?.abort()
  }
}

const keyPath = (key: string) => key.split('?')[0]!

/**
 * Ties a resource to a component: loads when the key changes, refreshes when `cares` says that a change matters.
 * An empty batch is "anything may have changed", of which `idle` pages take no notice.
 */
export function resource<T>(
  key: () => string | null,
  fetch: (signal: AbortSignal) => Promise<T>,
  cares: (change: Change) => boolean = () => true,
  idle: () => boolean = () => false,
): Resource<T> {
  const out = new Resource<T>()
  // What is known is drawn at once, rather than after something empty.
  const first = untrack(key)
  if (first != null) out.begin(first)
  $effect(() => {
    const k = key()
    if (k != null) untrack(() => out.load(k, fetch))
  })
  $effect(() => {
    const stop = live.subscribe((changes) => {
      if (changes.length ? changes.some(cares) : !idle() || out.error) out.soon()
    })
    return () => {
      stop()
      out.stop()
    }
  })
  return out
}
