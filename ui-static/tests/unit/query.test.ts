import { describe, expect, test } from 'vitest'
import { add, DEFAULTS, filters, KEYS, parse, refusal, split, terms, window_, write } from '../../src/lib/query'

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
    expect(filters(query, window_(query, 0)).flow_runs!.state).toEqual({
      type: { any_: ['FAILED'] },
      name: { any_: ['Late'] },
      operator: 'or_',
    })
  })
})

describe('a typed term', () => {
  test('is refused in words where it means nothing', () => {
    expect(refusal('last:soon', KEYS)).toBe('last: takes a span such as 30m, 6h, 1d or 2w')
    expect(refusal('State:Failed', ['tag', 'flow'])).toBe('state: means nothing here')
    expect(['last:6h', 'state:Failed', 'a word', 'https://x'].map((text) => refusal(text, KEYS))).toEqual([
      null,
      null,
      null,
      null,
    ])
  })
  test('is refused in words where its value is missing or is no span', () => {
    expect(['state:', 'Last:', 'last:-5', 'next:abc'].map((text) => refusal(text, KEYS))).toEqual([
      'state: takes a state such as Failed or Late',
      'last: takes a span such as 30m, 6h, 1d or 2w',
      'last: takes a span such as 30m, 6h, 1d or 2w',
      'next: takes a span such as 30m, 6h, 1d or 2w',
    ])
    expect(refusal('state:', ['tag'])).toBe('state: means nothing here')
  })
  test('means all of a type of states, or the name of one, however it is typed', () => {
    const states = (text: string) => add(DEFAULTS, text).states
    expect(['state:late', 'state:FAILED', 'state:failed', 'state:My own'].map(states)).toEqual([
      ['Late'],
      ['FAILED'],
      ['FAILED'],
      ['My own'],
    ])
  })
})

test('several terms of a line are told apart, and a value may have spaces', () => {
  expect(split('state:Late tag:ETL')).toEqual(['state:Late', 'tag:ETL'])
  expect(split('  etl run  flow:Every kind STATE:Late ')).toEqual(['etl run', 'flow:Every kind', 'STATE:Late'])
  expect(split('tag:"a tag:b" name:x')).toEqual(['tag:"a tag:b"', 'name:x'])
  expect(split('name:a:b https://x')).toEqual(['name:a:b https://x'])
  expect(split(' ')).toEqual([])
  const query = split('deployment:etl state:Running').reduce(add, DEFAULTS)
  expect([query.deployments, query.states]).toEqual([['etl'], ['RUNNING']])
})
