// What there is of a kind, for those who choose one by its name.

import { api } from './api'
import type { Kin } from './automationForm'

export interface Choices {
  list: [id: string, name: string][]
  /** Whether there are more than are listed. */
  isMore: boolean
}

const MOST = 200
const named = (text: string) => (text ? { name: { like_: text } } : undefined)

/** Lists those whose names contain a text, as many as somebody can look through. */
export async function choices(kind: Kin, text: string): Promise<Choices> {
  const has = (name: string) => name.toLowerCase().includes(text.toLowerCase())
  const cut = (all: [string, string][]): Choices => ({
    list: all.filter(([, name]) => has(name)).slice(0, MOST),
    isMore: all.length > MOST,
  })
  switch (kind) {
    case 'deployment': {
      const found = await api.deployments({ ...(text ? { deployments: { name: { like_: text } } } : {}), limit: MOST })
      return { list: found.results.map((d) => [d.id, `${d.flow_name} / ${d.name}`]), isMore: found.count > MOST }
    }
    case 'flow': {
      const found = await api.flows(named(text), { limit: MOST, sort: 'NAME_ASC' })
      return { list: found.results.map((f) => [f.id, f.name]), isMore: found.count > MOST }
    }
    case 'automation': {
      const found = await api.automations({ limit: MOST, sort: 'NAME_ASC' })
      return { list: found.results.map((a) => [a.id, a.name]), isMore: found.count > MOST }
    }
    case 'work-pool':
      return cut((await api.pools()).map((p) => [p.id, p.name]))
    case 'work-queue': {
      const found = await api.allQueues(text, MOST)
      return {
        list: found.map((q) => [q.id, q.work_pool_name ? `${q.work_pool_name} / ${q.name}` : q.name]),
        isMore: found.length === MOST,
      }
    }
    case 'notifier':
      return cut(
        (await api.blocks())
          .filter((b) => b.document?.capabilities.includes('notify'))
          .map((b) => [b.id, `${b.name} (${b.type_name})`]),
      )
    case 'webhook':
      return cut((await api.blocks()).filter((b) => b.document?.slug === 'webhook').map((b) => [b.id, b.name]))
  }
}
