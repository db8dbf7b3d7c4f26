// What a state looks like: colour token, glyph and word, in the order in which a stack shows them.

import type { HistoryState, StateCount, StateType } from './types'

export type Tone =
  | 'scheduled'
  | 'late'
  | 'pending'
  | 'running'
  | 'completed'
  | 'failed'
  | 'crashed'
  | 'cancelled'
  | 'cancelling'
  | 'paused'

/** From the axis outwards: Late lies next to it, so that what hurts keeps its place whatever comes on top. */
export const STACK: Tone[] = [
  'late',
  'running',
  'pending',
  'completed',
  'paused',
  'cancelling',
  'cancelled',
  'scheduled',
]
/** Below the axis. */
export const BELOW: Tone[] = ['failed', 'crashed']

const TONES: Record<StateType, Tone> = {
  SCHEDULED: 'scheduled',
  PENDING: 'pending',
  RUNNING: 'running',
  COMPLETED: 'completed',
  FAILED: 'failed',
  CRASHED: 'crashed',
  CANCELLED: 'cancelled',
  CANCELLING: 'cancelling',
  PAUSED: 'paused',
}

export const STATE_TYPES = Object.keys(TONES) as StateType[]

/** The names that states of each type usually have. */
export const NAMES: [StateType, string[]][] = [
  ['SCHEDULED', ['Scheduled', 'Late', 'AwaitingRetry', 'AwaitingConcurrencySlot', 'Resuming']],
  ['PENDING', ['Pending']],
  ['RUNNING', ['Running', 'Retrying']],
  ['COMPLETED', ['Completed', 'Cached']],
  ['FAILED', ['Failed', 'TimedOut']],
  ['CRASHED', ['Crashed']],
  ['CANCELLED', ['Cancelled']],
  ['CANCELLING', ['Cancelling']],
  ['PAUSED', ['Paused', 'Suspended']],
]

/** The states a filter offers by name. */
export const STATE_NAMES = NAMES.flatMap(([, names]) => names)

/** What a run comes into that does not do what it should, by name. */
export const FAILURES = ['Failed', 'Crashed', 'TimedOut']

export function tone(type: StateType | null | undefined, name?: string | null): Tone {
  if (name === 'Late') return 'late'
  return type ? (TONES[type] ?? 'pending') : 'pending'
}

/** The word for a state: its name, or its type where it has none. */
export function word(type: StateType | null | undefined, name?: string | null): string {
  if (name) return name
  if (!type) return 'No state'
  return type[0] + type.slice(1).toLowerCase()
}

export const isTerminal = (type: StateType | null | undefined): boolean =>
  type === 'COMPLETED' || type === 'FAILED' || type === 'CRASHED' || type === 'CANCELLED'

export const isWaiting = (type: StateType | null | undefined): boolean =>
  type === 'SCHEDULED' || type === 'PENDING' || type === 'PAUSED'

/** How often a run was begun, by its states in order: to go on after a pause is no new try. */
export function tries(states: { type: StateType }[]): number {
  let count = 0
  let isPaused = false
  for (const { type } of states) {
    if (type === 'PAUSED') isPaused = true
    else if (type === 'RUNNING') {
      if (!isPaused) count++
      isPaused = false
    } else if (isTerminal(type)) isPaused = false
  }
  return count
}

/** Sums the runs that a card counts. */
export function countStates(states: StateCount[], test: (s: StateCount) => boolean): number {
  return states.reduce((sum, s) => (test(s) ? sum + s.count : sum), 0)
}

export const rank = (s: Pick<HistoryState, 'state_type' | 'state_name'>): number => {
  const t = tone(s.state_type, s.state_name)
  const i = BELOW.indexOf(t)
  return i >= 0 ? i : STACK.indexOf(t)
}
