import { expect, test, vi } from 'vitest'
import { between, day, duration, moment, skipped, span, spell } from '../../src/lib/time'

test('durations are told in their two largest units', () => {
  expect([0.0004, 0.4, 5.25, 209, 3600, 100000, null].map(duration)).toEqual([
    '0s',
    '400ms',
    '5.2s',
    '3m 29s',
    '1h',
    '1d 3h',
    '–',
  ])
})

test('a span and its spelling are inverse', () => {
  for (const text of ['5m', '12h', '1d', '2w']) expect(spell(span(text)!)).toBe(text)
  expect(span('1 day')).toBeUndefined()
})

test('a stretch of time says its second day only when there is one', () => {
  const at = (day: number, hour: number) => new Date(2026, 10, day, hour, 30)
  expect(between(at(27, 9), at(27, 21)).match(/27/g)).toHaveLength(1)
  expect(between(at(27, 9), at(28, 21))).toMatch(/27.*09:30 – .*28.*21:30/)
})

test('a day says its year only when that is not the present one', () => {
  const now = new Date(2026, 10, 29, 12).getTime()
  expect(day(new Date(2026, 2, 28, 9), now)).not.toContain('2026')
  expect(day(new Date(2028, 2, 28, 9), now)).toContain('2028')
  expect(moment(new Date(2025, 10, 29, 12, 30), now)).toMatch(/2025.*12:30/)
})

test('a clock that the viewer skips is told', () => {
  vi.stubEnv('TZ', 'America/New_York')
  expect(skipped('2026-03-08T02:30')).toBe('02:30 does not exist on that day: 03:30 is meant.')
  expect([skipped('2026-03-08T03:30'), skipped('2026-11-01T01:30'), skipped('')]).toEqual([null, null, null])
  vi.unstubAllEnvs()
})
