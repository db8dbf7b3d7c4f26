// Clocks: the server's against the viewer's, and the viewer's zone in the night in which it changes.

import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { difference } from '../../src/lib/clock'
import { pageOf, parse } from '../../src/lib/query'
import { roundTimes } from '../../src/lib/time'

describe('the clock of the server', () => {
  const at = Date.parse('2026-11-28T10:00:00Z')
  test('is taken from the date of an answer where it tells something', () => {
    expect(difference('Sat, 28 Nov 2026 10:00:00 GMT', at + 100, at + 400)).toBe(0)
    expect(difference('Sat, 28 Nov 2026 11:00:00 GMT', at, at + 200)).toBe(3600e3 + 400)
    expect(difference('Sat, 28 Nov 2026 09:00:00 GMT', at, at + 200)).toBe(-3600e3 + 400)
    expect(difference('Sat, 28 Nov 2026 10:00:08 GMT', at, at + 20_000)).toBe(0)
    expect(difference(null, at, at)).toBeNull()
    expect(difference('yesterday', at, at)).toBeNull()
  })
})

describe('round times of the viewer', () => {
  beforeAll(() => void vi.stubEnv('TZ', 'Europe/Berlin'))
  afterAll(() => void vi.unstubAllEnvs())
  const words = (from: string, to: string, hours: number) =>
    roundTimes(Date.parse(from), Date.parse(to), hours).map(
      (at) => `${new Date(at).getDate()} ${new Date(at).toTimeString().slice(0, 5)}`,
    )
  test('stay round when clocks are put back and forward', () => {
    expect(words('2026-10-24T16:00:00Z', '2026-10-25T18:00:00Z', 6)).toEqual([
      '24 18:00',
      '25 00:00',
      '25 06:00',
      '25 12:00',
      '25 18:00',
    ])
    expect(words('2026-03-28T22:00:00Z', '2026-03-29T12:00:00Z', 6)).toEqual(['29 00:00', '29 06:00', '29 12:00'])
    expect(words('2026-10-22T12:00:00Z', '2026-10-28T12:00:00Z', 24)).toEqual([
      '23 00:00',
      '24 00:00',
      '25 00:00',
      '26 00:00',
      '27 00:00',
      '28 00:00',
    ])
  })
  test('an hour that there is not is left out, and none is there twice', () => {
    expect(words('2026-03-29T00:00:00Z', '2026-03-29T03:00:00Z', 1)).toEqual(['29 01:00', '29 03:00', '29 04:00'])
  })
  test('quarters of hours and weeks', () => {
    expect(words('2026-06-01T10:01:00Z', '2026-06-01T10:46:00Z', 0.25)).toEqual(['1 12:15', '1 12:30', '1 12:45'])
    expect(roundTimes(Date.parse('2026-01-01T00:00:00Z'), Date.parse('2026-03-01T00:00:00Z'), 168)).toHaveLength(8)
  })
})

test('an address that nobody wrote asks for the first page, and for each value once', () => {
  const page = (text: string) => pageOf(new URLSearchParams(text))
  expect(['page=3', 'page=-1', 'page=1.5', 'page=x', 'page=1e99', ''].map(page)).toEqual([3, 0, 0, 0, 0, 0])
  expect(parse(new URLSearchParams('state=Late&state=Late&tag=&tag=a')).states).toEqual(['Late'])
})
