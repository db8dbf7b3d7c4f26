// The keyboard: letters do things unless somebody types.

import { go } from './router.svelte'
import { theme } from './theme.svelte'

export const PAGES: Record<string, [string, string]> = {
  d: ['/', 'Dashboard'],
  r: ['/runs', 'Flow runs'],
  t: ['/task-runs', 'Task runs'],
  p: ['/deployments', 'Deployments'],
  w: ['/work-queues', 'Work queues'],
  o: ['/work-pools', 'Work pools'],
  a: ['/automations', 'Automations'],
  n: ['/notifications', 'Notifications'],
  e: ['/events', 'Events'],
  b: ['/blocks', 'Blocks'],
  v: ['/variables', 'Variables'],
  f: ['/artifacts', 'Artifacts'],
  c: ['/concurrency-limits', 'Concurrency limits'],
  s: ['/settings', 'Settings'],
}

type Action = (event: KeyboardEvent) => void

class Keys {
  help = $state(false)
  #actions = new Map<string, Action[]>()
  #go = 0

  /** Registers actions of a component; the last one registered wins. */
  use(actions: Record<string, Action>): () => void {
    for (const [key, action] of Object.entries(actions))
      this.#actions.set(key, [...(this.#actions.get(key) ?? []), action])
    return () => {
      for (const [key, action] of Object.entries(actions)) {
        this.#actions.set(
          key,
          (this.#actions.get(key) ?? []).filter((a) => a !== action),
        )
      }
    }
  }

  handle = (event: KeyboardEvent) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return
    const target = event.target as HTMLElement | null
    const typing = target?.closest('input, textarea, select, [contenteditable]')
    if (typing && event.key !== 'Escape') return
    if (document.querySelector('dialog[open]')) return
    if (this.#go && Date.now() - this.#go < 1200) {
      this.#go = 0
      const page = PAGES[event.key]
      if (page) {
        event.preventDefault()
        return go(page[0])
      }
    }
    if (event.key === 'g') {
      this.#go = Date.now()
      return
    }
    const action = this.#actions.get(event.key)?.at(-1)
    if (action) {
      event.preventDefault()
      return action(event)
    }
    if (event.key === 't') theme.cycle()
    else if (event.key === '?') this.help = true
    else if (event.key === '/') {
      const bar = document.querySelector<HTMLInputElement>('[data-query]')
      if (bar) {
        event.preventDefault()
        bar.focus()
      }
    } else if (event.key === 'j' || event.key === 'k') move(event.key === 'j' ? 1 : -1, event)
    else if (event.key === 'Enter' && target?.matches('[data-row]'))
      target.querySelector<HTMLAnchorElement>('a')?.click()
    else if (event.key === 'o' || event.key === 'q') {
      const row = document.activeElement?.closest('[data-row]')
      row?.querySelector<HTMLElement>(event.key === 'o' ? '[data-open]' : '[data-quick]')?.click()
    }
  }
}

function move(by: number, event: KeyboardEvent) {
  const rows = [...document.querySelectorAll<HTMLElement>('[data-row]')]
  if (!rows.length) return
  event.preventDefault()
  const now = rows.findIndex((row) => row === document.activeElement || row.contains(document.activeElement))
  const next = rows[now < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, now + by))]
  next?.focus()
  next?.scrollIntoView({ block: 'nearest' })
}

export const keys = new Keys()
