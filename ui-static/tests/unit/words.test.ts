import { describe, expect, test } from 'vitest'
import { fold, layered, pack } from '../../src/graph/layout'
import { fields, read } from '../../src/lib/form'
import { add, filters, parse, terms, window_, write } from '../../src/lib/query'
import { cron, describe as inWords } from '../../src/lib/schedule'
import { duration, span, spell } from '../../src/lib/time'
import type { GraphColumns } from '../../src/lib/types'

describe('schedules in words', () => {
  test.each([
    ['0 9 * * 1-5', 'On weekdays at 09:00'],
    ['*/15 * * * *', 'Every 15 minutes'],
    ['0 */2 * * *', 'Every 2 hours at :00'],
    ['30 6 * * *', 'Every day at 06:30'],
    ['0 0 1 * *', 'On day 1 of each month at 00:00'],
    ['0 12 * * MON,FRI', 'On Mondays and Fridays at 12:00'],
    ['@hourly', 'Every hour'],
    ['1-9/2 * * * *', 'Cron 1-9/2 * * * *'],
  ])('%s', (pattern, words) => expect(cron(pattern)).toBe(words))

  test('an interval is told in its largest unit', () => {
    expect(inWords({ interval: 3600 })).toBe('Every hour')
    expect(inWords({ interval: 90 })).toBe('Every 90 seconds')
    expect(inWords({ rrule: 'FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9', timezone: 'Europe/Berlin' })).toBe('Every week on Monday and Wednesday at 09:00 (Europe/Berlin)')
    expect(inWords(null)).toBe('No schedule')
  })
})

test('durations are told in their two largest units', () => {
  expect([0.0004, 0.4, 5.25, 209, 3600, 100000, null].map(duration)).toEqual(['0s', '400ms', '5.2s', '3m 29s', '1h', '1d 3h', '–'])
})

test('a span and its spelling are inverse', () => {
  for (const text of ['5m', '12h', '1d', '2w']) expect(spell(span(text)!)).toBe(text)
  expect(span('1 day')).toBeUndefined()
})

describe('the query', () => {
  test('what the URL says comes back as it was', () => {
    const text = 'last=1w&state=Late&state=Failed&tag=a%26b&flow=%3Cimg%3E&name=x&subflows=hide'
    expect(write(parse(new URLSearchParams(text)), new URLSearchParams()).toString()).toBe(text)
    expect(write(parse(new URLSearchParams()), new URLSearchParams()).toString()).toBe('')
  })
  test('a chip taken away leaves the rest', () => {
    const query = parse(new URLSearchParams('state=Late&tag=etl'))
    const chip = terms(query).find((t) => t.key === 'state')!
    expect(chip.remove.states).toEqual([])
    expect(chip.remove.tags).toEqual(['etl'])
  })
  test('typed terms are understood, other words search names', () => {
    const empty = parse(new URLSearchParams())
    expect(add(empty, 'state:Late').states).toEqual(['Late'])
    expect(add(empty, 'last:3h').last).toBe(10800)
    expect(add(empty, 'heron').name).toBe('heron')
  })
  test('names and types of states go to different filters', () => {
    const query = parse(new URLSearchParams('state=Late&state=FAILED'))
    expect(filters(query, window_(query, 0)).flow_runs!.state).toEqual({ type: { any_: ['FAILED'] }, name: { any_: ['Late'] }, operator: 'or_' })
  })
})

describe('the form of a custom run', () => {
  const form = fields({ required: ['n'], properties: { n: { type: 'integer', default: 3 }, flag: { anyOf: [{ type: 'boolean' }, { type: 'null' }] } } }, { extra: { a: 1 }, s: 'text' })
  test('fields come from the schema and from the parameters', () => {
    expect(form.map((f) => [f.name, f.kind, f.text])).toEqual([
      ['n', 'integer', '3'],
      ['flag', 'boolean', ''],
      ['extra', 'json', '{\n  "a": 1\n}'],
      ['s', 'text', 'text'],
    ])
  })
  test('a wrong text is told, a blank one leaves the default', () => {
    expect(read(form[0]!, '1.5').error).toBe('Not a whole number')
    expect(read(form[0]!, '').error).toBe('Needed')
    expect(read(form[1]!, '')).toEqual({})
    expect(read(form[2]!, '{').error).toBe('Not valid JSON')
  })
})

describe('the graph', () => {
  const fan = (n: number): GraphColumns => ({
    id: Array.from({ length: n + 2 }, (_, i) => String(i)),
    name: Array.from({ length: n + 2 }, (_, i) => `t-${i}`),
    task_key: ['root', ...Array.from({ length: n }, () => 'part'), 'join'],
    state_type: Array.from({ length: n + 2 }, () => 'COMPLETED' as const),
    state_name: Array.from({ length: n + 2 }, () => 'Completed'),
    start: Array.from({ length: n + 2 }, (_, i) => i),
    end: Array.from({ length: n + 2 }, (_, i) => i + 5),
    upstream: [[], ...Array.from({ length: n }, () => [0]), Array.from({ length: n }, (_, i) => i + 1)],
    child: Array.from({ length: n + 2 }, () => null),
  })
  test('siblings fold into one node', () => {
    expect(fold(fan(100)).map((g) => g.length)).toEqual([1, 100, 1])
    expect(fold(fan(3)).length).toBe(5)
  })
  test('intervals in a row never overlap', () => {
    const spans = Array.from({ length: 500 }, (_, i) => [i * 3, i * 3 + ((i * 37) % 90) + 1] as const)
    const { row } = pack(spans.map((_, i) => i), (i) => spans[i]![0], (i) => spans[i]![1], 1)
    const last = new Map<number, number>()
    spans.forEach(([s, e], i) => {
      expect(s).toBeGreaterThanOrEqual(last.get(row.get(i)!) ?? 0)
      last.set(row.get(i)!, e)
    })
  })
  test('a node lies behind all that it waits for', () => {
    expect(layered(4, [[0, 1], [1, 2], [0, 2], [2, 3]])).toEqual([0, 1, 2, 3])
  })
})
