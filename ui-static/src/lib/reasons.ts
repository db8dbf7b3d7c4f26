// Why runs wait, in sentences.

import { away } from './time'
import type { Reason } from './types'

/** What holds the most runs first. */
export const byCount = (reasons: Reason[]): Reason[] => [...reasons].sort((a, b) => (b.count ?? 0) - (a.count ?? 0))

export const sentence = (text: string): string => (/[.!?…:]$/.test(text) ? text : `${text}.`)

/** For how long the runs of a cause, or the oldest of them, are late; null as long as none is. */
export function lateness({ since, count }: Pick<Reason, 'since' | 'count'>, now: number): string | null {
  if (!since || Date.parse(since) > now - 1500) return null
  const long = away(since, now).replace(' ago', '')
  return (count ?? 1) > 1 ? `The oldest is late for ${long}.` : `Late for ${long}.`
}
