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

/** Changes cost a request a second at most, and of a slow server no more than every other moment. */
const APART_MS = 1000
const MOST_APART_MS = 30_000

export class Resource<T> {
  data = $state.raw<T | undefined>(undefined)
  error = $state<Error | undefined>(undefined)
  loading = $state(false)
  /** What is asked for. */
  key = $state('')
  /** The key whose answer `data` is. */
  #of = $state('')
  #abort: AbortController | null = null
  #timer: ReturnType<typeof setTimeout> | undefined
  #asked = 0
  /** How long the last answer took. */
  #took = 0
  /** Whether something has changed since what is being waited for was asked. */
  #isBehind = false
  #fetch: ((signal: AbortSignal) => Promise<T>) | null = null

  /** Whether `data` still answers the question before. */
  get isOld(): boolean {
    return this.data !== undefined && this.#of !== this.key
  }

  /** Whether what is shown has been deleted since it was read. */
  get isGone(): boolean {
    return this.data !== undefined && !!this.error && 'status' in this.error && this.error.status === 404
  }

  /** Shows what is known of a key before it has been asked for. */
  begin(key: string) {
    if (key === this.key) return
    this.key = key
    this.error = undefined
    const old = kept.get(key)
    if (old !== undefined) [this.data, this.#of] = [old as T, key]
    else if (keyPath(key) !== keyPath(this.#of)) this.data = undefined
  }

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
    this.#isBehind = false
    this.#asked = Date.now()
    const ahead = coming.get(key) as Promise<T> | undefined
    coming.delete(key)
    ;(ahead ?? this.#fetch(abort.signal)).then(
      (data) => {
        if (abort.signal.aborted) return
        ;[this.data, this.#of] = [data, key]
        this.error = undefined
        this.#answered()
        keep(key, data)
        live.answered()
      },
      (error: Error) => {
        if (abort.signal.aborted) return
        this.error = error
        // What answers another question does not stand in for what was refused.
        if (this.isOld) this.data = undefined
        this.#answered()
        if ('status' in error && error.status === 0) live.refused()
      },
    )
  }

  #answered() {
    this.loading = false
    this.#took = Math.min(MOST_APART_MS, Date.now() - this.#asked)
    if (this.#isBehind) this.soon()
  }

  /**
   * Asks again soon. What is on its way is waited for: to ask anew at each change would never be answered where
   * the server takes longer than the changes are apart.
   */
  soon() {
    if (this.loading) this.#isBehind = true
    else
      this.#timer ??= setTimeout(
        this.refresh,
        Math.max(120, this.#asked + Math.max(APART_MS, 2 * this.#took) - Date.now()),
      )
  }

  stop() {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#abort?.abort()
    this.loading = false
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
