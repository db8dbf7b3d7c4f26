// Short notices at the bottom right, read out politely.

export interface Toast {
  id: number
  kind: 'ok' | 'bad'
  title: string
  detail?: string
  link?: { label: string; path: string }
}

class Toasts {
  list = $state<Toast[]>([])
  /** Why what was tried in the open dialog was refused: it stands there, since all beneath is out of reach. */
  refusal = $state<{ title: string; detail: string } | null>(null)
  /** Open dialogs. */
  dialogs = 0
  #next = 1

  add(toast: Omit<Toast, 'id'>): number {
    const id = this.#next++
    this.list = [...this.list.slice(-3), { ...toast, id }]
    setTimeout(() => this.drop(id), toast.kind === 'bad' ? 12_000 : 8_000)
    return id
  }

  /** Says more exactly what a notice is about, if it is still there. */
  change(id: number, detail: string) {
    this.list = this.list.map((t) => (t.id === id ? { ...t, detail } : t))
  }

  drop(id: number) {
    this.list = this.list.filter((t) => t.id !== id)
  }

  fail(what: string, error: unknown) {
    const detail = (error as Error).message
    if (this.dialogs) this.refusal = { title: what, detail }
    else this.add({ kind: 'bad', title: what, detail })
  }
}

export const toasts = new Toasts()
