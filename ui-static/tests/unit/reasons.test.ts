import { expect, test } from 'vitest'
import { byCount, lateness, sentence } from '../../src/lib/reasons'
import type { Reason } from '../../src/lib/types'

const NOW = Date.parse('2026-03-01T12:00:00Z')
const since = (seconds: number) => new Date(NOW - seconds * 1000).toISOString()

test('what holds the most runs is said first', () => {
  const counts = [1, 7, null].map((count) => ({ count }) as Reason)
  expect(byCount(counts).map((r) => r.count)).toEqual([7, 1, null])
})
test('it is the runs that are late, and of several the oldest; what lies ahead is not late', () => {
  expect(lateness({ since: since(180), count: 1 }, NOW)).toBe('Late for 3m.')
  expect(lateness({ since: since(180), count: 4 }, NOW)).toBe('The oldest is late for 3m.')
  expect(lateness({ since: since(-3540), count: 1 }, NOW)).toBeNull()
  expect(lateness({ since: null, count: 1 }, NOW)).toBeNull()
})
test('sentences end', () => {
  expect(['No agent runs it', 'It is paused.', 'Held by whom?'].map(sentence)).toEqual([
    'No agent runs it.',
    'It is paused.',
    'Held by whom?',
  ])
})
