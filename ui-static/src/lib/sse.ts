// Server-sent events read from a fetch, since an EventSource can carry no credentials.

export interface ServerEvent {
  name: string
  data: string
  id: string | null
}

/** Cuts a stream of text into events, however its pieces are cut. */
export class EventReader {
  #rest = ''
  #name = ''
  #data: string[] = []
  #id: string | null = null

  take(piece: string): ServerEvent[] {
    const out: ServerEvent[] = []
    const lines = (this.#rest + piece).split('\n')
    this.#rest = lines.pop()!
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw
      if (line === '') {
        if (this.#data.length) out.push({ name: this.#name || 'message', data: this.#data.join('\n'), id: this.#id })
        this.#name = ''
        this.#data = []
        continue
      }
      const colon = line.indexOf(':')
      if (colon === 0) continue
      const field = colon < 0 ? line : line.slice(0, colon)
      const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '')
      if (field === 'event') this.#name = value
      else if (field === 'data') this.#data.push(value)
      else if (field === 'id') this.#id = value
    }
    return out
  }
}
