import { describe, expect, test } from 'vitest'
import { kept } from '../../src/lib/results'
import { fold, laneLayout, layered, pack, timeLayout, unfold } from '../../src/graph/layout'
import { actionWords, triggerLines } from '../../src/lib/automations'
import {
  append,
  asJson,
  asRows,
  blamed,
  canBeRows,
  fields,
  initial,
  isTouched,
  jsonKey,
  nameKey,
  numbers,
  offering,
  read,
  remove,
  takesBlocks,
  type Field,
} from '../../src/lib/form'
import { add, DEFAULTS, filters, KEYS, parse, refusal, terms, window_, write } from '../../src/lib/query'
import { cron, describe as inWords } from '../../src/lib/schedule'
import { between, day, duration, moment, span, spell } from '../../src/lib/time'
import type { GraphColumns, JsonSchema } from '../../src/lib/types'

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
    expect(inWords(null)).toBe('No schedule')
  })

  test('a rule is told whole, or shown as it is', () => {
    const words = (rrule: string) => inWords({ rrule }, 'UTC')
    expect(words('FREQ=MONTHLY;BYMONTHDAY=1;BYHOUR=6;BYMINUTE=0')).toBe('Every month on day 1 at 06:00')
    expect(words('FREQ=MONTHLY;BYDAY=-1FR;BYHOUR=18')).toBe('Every month on the last Friday at 18:00')
    expect(words('FREQ=YEARLY;BYMONTH=1,7;BYMONTHDAY=-1')).toBe('Every year on the last day in January and July')
    expect(words('FREQ=HOURLY;BYMINUTE=30')).toBe('Every hour at minute 30')
    expect(words('FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1')).toBe('RRULE FREQ=MONTHLY;BYDAY=MO,TU;BYSETPOS=-1')
  })

  test('hours of a clock elsewhere say where', () => {
    const weekly = { rrule: 'FREQ=WEEKLY;BYDAY=MO,WE;BYHOUR=9', timezone: 'Europe/Berlin' }
    expect(inWords(weekly, 'UTC')).toBe('Every week on Monday and Wednesday at 09:00 (Europe/Berlin)')
    expect(inWords(weekly, 'Europe/Berlin')).toBe('Every week on Monday and Wednesday at 09:00')
    const weekdays = { rrule: 'FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR;BYHOUR=9;BYMINUTE=0', timezone: 'UTC' }
    expect(inWords(weekdays, 'Etc/UTC')).toBe('On weekdays at 09:00')
    expect(inWords(weekdays, 'Europe/Berlin')).toBe('On weekdays at 09:00 (UTC)')
    // Without a zone it goes by UTC.
    expect(inWords({ cron: '0 9 * * *' }, 'Europe/Berlin')).toBe('Every day at 09:00 (UTC)')
    // How far apart runs are is the same everywhere.
    expect(inWords({ cron: '*/15 * * * *' }, 'Europe/Berlin')).toBe('Every 15 minutes')
    expect(inWords({ rrule: 'FREQ=HOURLY' }, 'Europe/Berlin')).toBe('Every hour')
  })
})

test('a trigger is told in a sentence, those inside it beneath', () => {
  const any = { 'prefect.resource.id': 'prefect.flow-run.*' }
  expect(
    triggerLines({
      type: 'event',
      posture: 'Reactive',
      match: any,
      expect: ['prefect.flow-run.Failed', 'prefect.flow-run.Crashed'],
      threshold: 3,
      within: 3600,
      for_each: ['prefect.resource.id'],
    }),
  ).toEqual([
    { depth: 0, text: 'When flow run Failed or flow run Crashed happens 3 times within 1h, counted for each resource' },
  ])
  expect(
    triggerLines({
      type: 'event',
      posture: 'Proactive',
      match: { 'prefect.resource.id': ['prefect.deployment.*'] },
      expect: ['acme.done'],
      within: 60,
      match_related: { 'prefect.resource.role': 'flow', 'prefect.resource.name': 'etl' },
    })[0]!.text,
  ).toBe('When acme.done of any deployment, related to flow etl does not happen within 1m')
  expect(
    triggerLines({
      type: 'compound',
      require: 'all',
      triggers: [
        { type: 'event', posture: 'Reactive', expect: ['a.b'], match: {}, match_related: {} },
        { type: 'sequence', triggers: [{}] },
      ],
    }).map((l) => `${l.depth} ${l.text}`),
  ).toEqual(['0 When all of these happen', '1 a.b happens', '1 these happen in order', '2 anything happens'])
  expect(actionWords({ type: 'pause-deployment', source: 'inferred' })).toBe(
    'Pause the deployment that the event is about',
  )
  // What has an id is called as events call it; the page puts its name there.
  expect(actionWords({ type: 'run-deployment', deployment_id: 'x', schedule_after: 60 })).toBe(
    'Run prefect.deployment.x, 1m later',
  )
  expect(actionWords({ type: 'send-notification', block_document_id: 'b', subject: 'Failed' })).toBe(
    'Send “Failed” through prefect.block-document.b',
  )
})

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

describe('the form of a custom run', () => {
  const put = (list: Field[], texts: Record<string, string>, nulls: Record<string, boolean> = {}) => {
    const entries = initial(list)
    return read(list, { texts: { ...entries.texts, ...texts }, nulls: { ...entries.nulls, ...nulls } })
  }
  const one = (schema: JsonSchema, text: string, required = false) => {
    const list = fields({ properties: { x: schema }, required: required ? ['x'] : [] }, {})
    const { values, errors } = put(list, { x: text })
    return 'x' in errors ? `error: ${errors.x}` : values.x
  }
  test('fields come from the schema and from the parameters', () => {
    const form = fields(
      {
        required: ['n'],
        properties: { n: { type: 'integer', default: 3 }, flag: { anyOf: [{ type: 'boolean' }, { type: 'null' }] } },
      },
      { extra: { a: 1 }, s: 'text' },
    )
    expect(form.map((f) => [f.key, f.kind, f.text, f.nullable])).toEqual([
      ['n', 'integer', '3', false],
      ['flag', 'boolean', '', true],
      ['extra', 'map', '0', false],
      ['s', 'text', 'text', false],
    ])
    expect(put(form, {})).toEqual({ values: { n: 3, extra: { a: 1 }, s: 'text' }, errors: {} })
  })
  test('a wrong text is told, a blank one leaves the default', () => {
    expect(one({ type: 'integer' }, '1.5')).toBe('error: Not a whole number')
    expect(one({ type: 'integer' }, '', true)).toBe('error: Needed')
    expect(one({ type: 'boolean', default: true }, '')).toBeUndefined()
    expect(one({ type: 'object', patternProperties: {} }, '{')).toBe('error: Not valid JSON')
    expect(one({ type: 'object', patternProperties: {} }, '[]')).toBe('error: Must be an object: { … }')
    expect(one({ type: 'array' }, '{}')).toBe('error: Must be a list: [ … ]')
    expect(one({ type: 'string', default: 'a' }, '')).toBe('')
    expect(one({ type: 'string' }, '')).toBeUndefined()
  })
  test('bounds of old and new drafts are told in words', () => {
    expect(one({ type: 'integer', minimum: 1, maximum: 5 }, '9')).toBe('error: Must be at most 5')
    expect(one({ type: 'number', exclusiveMinimum: 0 }, '0')).toBe('error: Must be above 0')
    expect(one({ type: 'number', minimum: 0, exclusiveMinimum: true }, '0')).toBe('error: Must be above 0')
    expect(one({ type: 'string', pattern: '^a+$' }, 'b')).toBe('error: Must match ^a+$')
    expect(one({ type: 'string', pattern: '(?<no' }, 'b')).toBe('b')
  })
  test('a choice keeps the type of its values, a date its day, a moment its zone', () => {
    expect(one({ enum: [1, 2] }, '2')).toBe(2)
    expect(one({ type: 'string', format: 'date' }, '2026-11-28')).toBe('2026-11-28')
    expect(one({ type: 'string', format: 'date-time' }, '2026-11-28T10:00')).toMatch(/^2026-11-2\dT.*Z$/)
  })
  test('a list has an item on each line, of its kind and within its bounds', () => {
    const list = (items: JsonSchema, text: string, more: JsonSchema = {}) =>
      one({ type: 'array', items, ...more }, text)
    expect(list({ type: 'string' }, ' a, b \n\nc')).toEqual(['a, b', 'c'])
    expect(list({ type: 'integer' }, '1\n2')).toEqual([1, 2])
    expect(list({ type: 'integer', minimum: 1 }, '1\n0')).toBe('error: 0: must be at least 1')
    expect(list({ type: 'number' }, 'x')).toBe('error: Not a number: x')
    expect(list({ enum: ['a', 'b'] }, 'a\nc')).toBe('error: c is none of a, b')
    expect(list({ type: 'string' }, 'a', { minItems: 2 })).toBe('error: Needs at least 2 items')
    expect([
      list({ type: 'string' }, '[]'),
      list({ type: 'string' }, '["a\\nb"]'),
      list({ type: 'string' }, '[x'),
    ]).toEqual([[], ['a\nb'], ['[x']])
    // Emptied, it is empty; untouched, it is the default.
    expect(one({ type: 'array', items: { type: 'string' }, default: ['a'] }, '')).toEqual([])
    // What may be anything stays JSON, and what is more than a line has a field of its own.
    expect(
      fields(
        {
          properties: {
            x: { type: 'array', items: {} },
            y: { type: 'array', items: { type: 'string' }, default: ['a\nb'] },
          },
        },
        {},
      ).map((f) => f.kind),
    ).toEqual(['json', 'items'])
  })
  test('a list of models has a group for each, more of them and fewer', () => {
    const schema: JsonSchema = {
      required: ['who'],
      properties: { who: { type: 'array', minItems: 1, items: { $ref: '#/definitions/P' } } },
      definitions: {
        P: { type: 'object', title: 'Person', required: ['name'], properties: { name: { type: 'string' } } },
      },
    }
    const list = fields(schema, { who: [{ name: 'Ann' }, { name: 'Bo' }] })
    const f = list[0]!
    expect([f.kind, f.title, f.takes, f.text]).toEqual(['items', 'who', 'list of Person', '0,1'])
    const entries = initial(list)
    append(f, entries)
    const third = f.item!(2).children[0]!.key
    expect(read(list, entries).errors).toEqual({ [third]: 'Needed' })
    entries.texts[third] = 'Cy'
    remove(f, 0, entries)
    expect(read(list, entries).values).toEqual({ who: [{ name: 'Bo' }, { name: 'Cy' }] })
    // A number is not given twice, or what was in its fields would come back.
    remove(f, 1, entries)
    append(f, entries)
    expect(numbers(entries.texts.who)).toEqual([2, 3])
    entries.texts.who = ''
    expect(read(list, entries).errors).toEqual({ who: 'Needs at least 1 item' })
  })
  test('a tuple has a field for each place, of old and new drafts, and is there as a whole or not at all', () => {
    const places: JsonSchema[] = [
      { type: 'integer', minimum: 1 },
      { type: 'string', title: 'Unit' },
      { $ref: '#/$defs/C' },
    ]
    const root = (own: JsonSchema, required = false): JsonSchema => ({
      properties: { x: { type: 'array', minItems: 3, maxItems: 3, ...own } },
      required: required ? ['x'] : [],
      $defs: { C: { enum: ['a', 'b'] } },
    })
    for (const own of [{ prefixItems: places }, { items: places }]) {
      const list = fields(root(own), {})
      const f = list[0]!
      expect([f.kind, f.takes, f.children.map((c) => [c.title, c.kind, c.required])]).toEqual([
        'tuple',
        '(whole number, text, choice)',
        [
          ['x 1', 'integer', true],
          ['Unit', 'text', true],
          ['x 3', 'choice', true],
        ],
      ])
      const [n, unit, choice] = f.children.map((c) => c.key) as [string, string, string]
      expect(put(list, {})).toEqual({ values: {}, errors: {} })
      expect(put(list, { [n]: '0', [choice]: '"b"' }).errors).toEqual({ [n]: 'Must be at least 1', [unit]: 'Needed' })
      expect(put(list, { [n]: '2', [unit]: 'm', [choice]: '"b"' }).values).toEqual({ x: [2, 'm', 'b'] })
      expect(Object.keys(put(fields(root(own, true), {}), {}).errors)).toEqual([n, unit, choice])
      expect(put(fields(root(own), { x: [5, 'km', 'a'] }), {}).values).toEqual({ x: [5, 'km', 'a'] })
      expect(blamed(list, "Validation failed for field 'x.1'. Failure reason: …")?.key).toBe(unit)
    }
    // What may be missing is at the end, and leaves no hole.
    const two = fields(
      {
        properties: {
          x: {
            type: 'array',
            minItems: 1,
            maxItems: 3,
            prefixItems: [{ type: 'integer' }, { type: 'integer' }, { type: 'integer' }],
          },
        },
      },
      {},
    )
    const [a, b, c] = two[0]!.children.map((one) => one.key) as [string, string, string]
    expect([put(two, { [a]: '1' }).values, put(two, { [a]: '1', [b]: '2' }).values]).toEqual([
      { x: [1] },
      { x: [1, 2] },
    ])
    expect(put(two, { [a]: '1', [c]: '3' }).errors).toEqual({ [b]: 'Needed' })
    // A tuple that goes on, or is longer than it may be, stays JSON; none at all may be one of its values.
    expect(fields(root({ prefixItems: places, items: { type: 'integer' }, maxItems: 9 }), {})[0]!.kind).toBe('json')
    expect(fields(root({ prefixItems: places }), { x: [1, 'a', 'a', 4] })[0]!.kind).toBe('json')
    const maybe = fields(
      {
        properties: {
          x: {
            anyOf: [{ type: 'array', prefixItems: [{ type: 'integer' }], minItems: 1, maxItems: 1 }, { type: 'null' }],
            default: null,
          },
        },
      },
      {},
    )
    expect([
      maybe[0]!.kind,
      put(maybe, {}).values,
      put(maybe, { [maybe[0]!.children[0]!.key]: '4' }, { x: false }).values,
    ]).toEqual(['tuple', { x: null }, { x: [4] }])
  })
  test('an object of whatever names has a row for each, of its kind and within its bounds', () => {
    const list = fields(
      {
        properties: { x: { type: 'object', additionalProperties: { type: 'integer', maximum: 9 }, maxProperties: 2 } },
      },
      { x: { a: 1 } },
    )
    const f = list[0]!
    expect([f.kind, f.takes, f.text]).toEqual(['map', 'object of whole number', '0'])
    const entries = initial(list)
    expect([isTouched(f, entries), read(list, entries).values]).toEqual([false, { x: { a: 1 } }])
    entries.texts[nameKey(f, 0)] = 'b'
    expect([isTouched(f, entries), read(list, entries).values]).toEqual([true, { x: { b: 1 } }])
    const n = append(f, entries)
    // A row that nobody has begun is none.
    expect(read(list, entries)).toEqual({ values: { x: { b: 1 } }, errors: {} })
    entries.texts[f.item!(n).key] = '10'
    expect(read(list, entries).errors).toEqual({ [f.item!(n).key]: 'Must be at most 9', [nameKey(f, n)]: 'Needed' })
    entries.texts[f.item!(n).key] = '9'
    entries.texts[nameKey(f, n)] = 'b'
    expect(read(list, entries).errors).toEqual({ [nameKey(f, n)]: 'This name is there already' })
    entries.texts[nameKey(f, n)] = '__proto__'
    expect(JSON.stringify(read(list, entries).values)).toBe('{"x":{"b":1,"__proto__":9}}')
    entries.texts[nameKey(f, append(f, entries))] = 'c'
    entries.texts[f.item!(n + 1).key] = '1'
    expect(read(list, entries).errors).toEqual({ x: 'At most 2 rows' })
    remove(f, 0, entries)
    remove(f, n, entries)
    expect(read(list, entries).values).toEqual({ x: { c: 1 } })
    expect(blamed(list, "Validation failed for field 'x.c'. Failure reason: …")?.key).toBe('x')
    // What may be none of these stays JSON.
    expect(
      fields(
        {
          properties: {
            x: { type: 'object', patternProperties: {} },
            y: { type: 'object', properties: { a: {} }, additionalProperties: true },
            z: { type: 'object', additionalProperties: false },
          },
        },
        {},
      ).map((one) => one.kind),
    ).toEqual(['json', 'json', 'json'])
  })
  test('the values of a free object are JSON, or the text that they are', () => {
    const set = { a: 5, b: '5', c: 'plain text', d: true, e: null, f: '', g: '[draft', h: 'two\nlines' }
    const list = fields({ properties: { x: { type: 'object' } } }, { x: set })
    const f = list[0]!
    const entries = initial(list)
    expect(f.children.map((one) => one.text)).toEqual([
      '5',
      '"5"',
      'plain text',
      'true',
      'null',
      '',
      '"[draft"',
      'two\nlines',
    ])
    expect(read(list, entries).values).toEqual({ x: set })
    entries.texts[f.item!(2).key] = '{"deep": [1]}'
    entries.texts[f.item!(0).key] = '[1'
    expect(read(list, entries).errors).toEqual({
      [f.item!(0).key]: 'Not valid JSON; put text that begins so in "quotes"',
    })
    entries.texts[f.item!(0).key] = ''
    expect(read(list, entries).values.x).toMatchObject({ a: '', c: { deep: [1] } })
    // Left alone, nothing is given; needed, an empty one is.
    expect(put(fields({ properties: { x: { type: 'object' } } }, {}), {}).values).toEqual({})
    expect(put(fields({ required: ['x'], properties: { x: { type: 'object' } } }, {}), {}).values).toEqual({ x: {} })
  })
  test('an object goes on as JSON and comes back as rows, and begins as JSON where rows would not do', () => {
    const list = fields(
      { properties: { x: { type: 'object', additionalProperties: { type: 'integer' } } } },
      { x: { a: 1, b: 2 } },
    )
    const f = list[0]!
    const entries = initial(list)
    entries.texts[f.item!(1).key] = 'two'
    asJson(f, entries)
    expect(entries.texts[jsonKey(f)]).toBe('{\n  "a": 1,\n  "b": "two"\n}')
    entries.texts[jsonKey(f)] = '{"a": 1'
    expect([read(list, entries).errors, canBeRows(f, entries)]).toEqual([{ x: 'Not valid JSON' }, false])
    entries.texts[jsonKey(f)] = '[]'
    expect(read(list, entries).errors).toEqual({ x: 'Must be an object: { … }' })
    entries.texts[jsonKey(f)] = '{"c": 3, "a": "?"}'
    asRows(f, entries)
    expect([entries.texts.x, jsonKey(f) in entries.texts]).toEqual(['2,3', false])
    expect(read(list, entries).errors).toEqual({ [f.item!(3).key]: 'Not a whole number' })
    entries.texts[f.item!(3).key] = '4'
    expect(read(list, entries).values).toEqual({ x: { c: 3, a: 4 } })
    asJson(f, entries)
    entries.texts[jsonKey(f)] = ''
    expect(read(list, entries)).toEqual({ values: {}, errors: {} })
    const deep = fields({ properties: { x: { type: 'object' } } }, { x: { a: { b: 1 } } })
    const begun = initial(deep)
    expect([begun.texts[jsonKey(deep[0]!)], isTouched(deep[0]!, begun), read(deep, begun).values]).toEqual([
      '{\n  "a": {\n    "b": 1\n  }\n}',
      false,
      { x: { a: { b: 1 } } },
    ])
    begun.texts[jsonKey(deep[0]!)] = '{}'
    expect(isTouched(deep[0]!, begun)).toBe(true)
    asRows(deep[0]!, begun)
    expect(read(deep, begun).values).toEqual({ x: {} })
  })
  test('a field has the name of the parameter, whatever the title of what it refers to', () => {
    const schema: JsonSchema = {
      properties: {
        boss: { $ref: '#/$defs/P' },
        shade: { $ref: '#/$defs/C' },
        at: { $ref: '#/$defs/C', title: 'When' },
      },
      $defs: { P: { type: 'object', title: 'Person', properties: { a: {} } }, C: { enum: ['x'], title: 'Colour' } },
    }
    expect(fields(schema, {}).map((f) => f.title)).toEqual(['boss', 'shade', 'When'])
  })
  test('a union is chosen and then filled in, and knows what it is already', () => {
    const place: JsonSchema = {
      type: 'object',
      title: 'Place',
      required: ['city'],
      properties: { city: { type: 'string' } },
    }
    const schema: JsonSchema = {
      required: ['x'],
      properties: { x: { anyOf: [{ type: 'integer' }, { type: 'string' }, { $ref: '#/definitions/P' }] } },
      definitions: { P: place },
    }
    const list = fields(schema, {})
    expect([list[0]!.kind, list[0]!.children.map((f) => f.title)]).toEqual(['union', ['whole number', 'text', 'Place']])
    const [whole, text, model] = list[0]!.children.map((f) => f.key) as [string, string, string]
    expect(put(list, {}).errors).toEqual({ x: 'Needed' })
    expect(put(list, { x: '0', [whole]: 'seven' }).errors).toEqual({ [whole]: 'Not a whole number' })
    expect(put(list, { x: '1', [text]: '7' }).values).toEqual({ x: '7' })
    const city = list[0]!.children[2]!.children[0]!.key
    expect(city.startsWith(model)).toBe(true)
    expect(put(list, { x: '2', [city]: 'Bremen' }).values).toEqual({ x: { city: 'Bremen' } })
    // What is set chooses, and may be none at all.
    expect(fields(schema, { x: 'a' })[0]!.text).toBe('1')
    expect(put(fields(schema, { x: { city: 'Kiel' } }), {}).values).toEqual({ x: { city: 'Kiel' } })
    const maybe = fields(
      { properties: { x: { anyOf: [{ type: 'integer' }, { type: 'string' }, { type: 'null' }], default: null } } },
      {},
    )
    expect([maybe[0]!.nullable, maybe[0]!.isNull, put(maybe, {}).values]).toEqual([true, true, { x: null }])
    expect(put(maybe, {}, { x: false }).values).toEqual({})
    expect(fields({ properties: { x: { type: ['integer', 'string'], default: 3 } } }, {})[0]!.text).toBe('0')
  })
  test('a secret that may be anything is a text unless somebody says otherwise', () => {
    const value: JsonSchema = {
      title: 'Value',
      format: 'password',
      writeOnly: true,
      anyOf: [
        { type: 'string', format: 'password', writeOnly: true },
        { type: 'string', title: 'string' },
        { $ref: '#/definitions/JsonValue', title: 'JSON' },
      ],
    }
    const schema: JsonSchema = { required: ['value'], properties: { value }, definitions: { JsonValue: {} } }
    const list = fields(schema, {})
    expect([list[0]!.kind, list[0]!.text, list[0]!.children.map((f) => f.title)]).toEqual([
      'union',
      '0',
      ['text', 'anything'],
    ])
    const [text, json] = list[0]!.children.map((f) => f.key) as [string, string]
    expect(put(list, {}).errors).toEqual({ [text]: 'Needed' })
    expect(put(list, { [text]: 's3cr3t' }).values).toEqual({ value: 's3cr3t' })
    expect(put(list, { value: '1', [json]: '{"a": 1}' }).values).toEqual({ value: { a: 1 } })
    // A mask is a text too, and stands in no other field.
    const masked = fields(schema, { value: '********' })[0]!
    expect([masked.text, masked.children.map((f) => f.text)]).toEqual(['0', ['********', '']])
  })
  test('a model is a group of fields, found by its reference, at any depth that makes sense', () => {
    const schema: JsonSchema = {
      required: ['where'],
      properties: {
        where: { allOf: [{ $ref: '#/definitions/Place' }], title: 'Where' },
        maybe: { anyOf: [{ $ref: '#/$defs/Place' }, { type: 'null' }], default: null },
      },
      definitions: {
        Place: {
          type: 'object',
          required: ['city'],
          properties: { city: { type: 'string' }, zip: { type: 'integer', default: 1 } },
        },
      },
      $defs: { Place: { type: 'object', required: ['city'], properties: { city: { type: 'string' } } } },
    }
    const list = fields(schema, {})
    expect(list.map((f) => [f.kind, f.isNull, f.children.map((c) => c.path.join('.'))])).toEqual([
      ['group', false, ['where.city', 'where.zip']],
      ['group', true, ['maybe.city']],
    ])
    const city = list[0]!.children[0]!.key
    expect(put(list, {}).errors).toEqual({ [city]: 'Needed' })
    expect(put(list, { [city]: 'Bremen' }).values).toEqual({ where: { city: 'Bremen', zip: 1 }, maybe: null })
    expect(blamed(list, "Validation failed for field 'where.city'. Failure reason: …")?.key).toBe(city)
  })
  test('what the deployment sets need not be given, and a hostile schema is no trouble', () => {
    expect(fields({ required: ['a'], properties: { a: { type: 'string' } } }, { a: 'x' })[0]!.required).toBe(false)
    expect(
      fields(
        { properties: { loop: { $ref: '#/definitions/L' } }, definitions: { L: { $ref: '#/definitions/L' } } },
        {},
      ),
    ).toHaveLength(1)
    expect(
      fields(
        {
          properties: { deep: { $ref: '#/definitions/D' } },
          definitions: { D: { type: 'object', properties: { d: { $ref: '#/definitions/D' } } } },
        },
        {},
      ),
    ).toHaveLength(1)
    expect(fields({ properties: 'no' } as unknown as JsonSchema, {})).toEqual([])
  })
})

describe('results', () => {
  const read = (data: unknown, more = 0) => {
    const text = JSON.stringify(data)
    return kept(text, text.length + more)
  }
  test('each generation says in its own way where a result is', () => {
    expect(
      read({ storage_key: 'a/b', expiration: null, serializer: { type: 'pickle' }, prefect_version: '3.8' }).facts,
    ).toEqual([
      ['Kept as', 'a/b'],
      ['Written by', 'pickle'],
    ])
    expect(
      read({ type: 'reference', storage_key: 'k', serializer_type: 'json', storage_block_id: 'id' }).facts,
    ).toEqual([
      ['Kept as', 'k'],
      ['Written by', 'json'],
      ['In the storage block', 'id'],
    ])
    expect(read({ type: 'literal', value: null })).toEqual({ facts: [], value: null })
    expect(read({ type: 'unpersisted' }).note).toMatch(/^Not kept/)
    expect(read({ encoding: 'blockstorage', blob: '{"data": {"path": "x"}, "block_id": "b"}' }).facts).toEqual([
      ['Kept as', '{"path":"x"}'],
      ['In the storage block', 'b'],
    ])
    expect(read({ encoding: 'cloudpickle', blob: 'gASV' }).note).toMatch(/only its program/)
    expect(read({ encoding: 'json', blob: '[1]' }).value).toEqual([1])
  })
  test('what is cut, or nothing that is known, is shown as it is', () => {
    expect(read('x', 5)).toEqual({ facts: [], value: '"x"', note: '8 characters; this is the beginning.' })
    expect(kept('not json', 8).value).toBe('not json')
    expect(read({ answer: 42 }).value).toEqual({ answer: 42 })
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
    artifacts: [],
  })
  test('siblings fold into one node', () => {
    expect(fold(fan(100)).map((g) => g.length)).toEqual([1, 100, 1])
    expect(fold(fan(3)).length).toBe(5)
  })
  test('intervals in a row never overlap', () => {
    const spans = Array.from({ length: 500 }, (_, i) => [i * 3, i * 3 + ((i * 37) % 90) + 1] as const)
    const { row } = pack(
      spans.map((_, i) => i),
      (i) => spans[i]![0],
      (i) => spans[i]![1],
      1,
    )
    const last = new Map<number, number>()
    spans.forEach(([s, e], i) => {
      expect(s).toBeGreaterThanOrEqual(last.get(row.get(i)!) ?? 0)
      last.set(row.get(i)!, e)
    })
  })
  test('a node lies behind all that it waits for', () => {
    expect(
      layered(4, [
        [0, 1],
        [1, 2],
        [0, 2],
        [2, 3],
      ]),
    ).toEqual([0, 1, 2, 3])
  })

  const one = (name: string, start: number, end: number, child: string | null = null) => ({
    id: name,
    name,
    task_key: name.replace(/-\d+$/, ''),
    state_type: 'COMPLETED' as const,
    state_name: 'Completed',
    start,
    end,
    upstream: [] as number[],
    child,
  })
  const columns = (nodes: ReturnType<typeof one>[]) =>
    Object.fromEntries(
      Object.keys(nodes[0]!)
        .map((name) => [name, nodes.map((n) => n[name as keyof typeof n])])
        .concat([['artifacts', []]]),
    ) as unknown as Parameters<typeof fold>[0]
  const outer = columns([
    one('call-0', 0, 10),
    one('sub-0', 10, 60, 'A'),
    one('sub-1', 12, 70, 'B'),
    { ...one('write-0', 70, 80), upstream: [1] },
  ])
  const sub = columns([one('fetch-0', 12, 20), { ...one('check-0', 20, 50, 'C'), upstream: [0] }])
  const deep = {
    ...columns([one('look-0', 22, 40)]),
    artifacts: [
      { id: 'a', key: 'report', type: 'table', node: 0, at: 40 },
      { id: 'b', key: null, type: null, node: null, at: 41 },
    ],
  }
  test('unfolded subflows keep who waits for whom and whose they are, subflows of subflows too', () => {
    const { g, owner } = unfold(
      outer,
      new Map([
        ['A', sub],
        ['C', deep],
      ]),
    )
    expect(g.name).toEqual(['call-0', 'sub-0', 'sub-1', 'write-0', 'fetch-0', 'check-0', 'look-0'])
    expect(owner).toEqual([-1, -1, -1, -1, 1, 1, 5])
    expect(g.upstream).toEqual([[], [], [], [1], [], [4], []])
    expect(g.artifacts.map((a) => a.node)).toEqual([6, 5])
    expect(outer.name.length, 'the run itself is left as it is').toBe(4)
  })
  test('lanes of a subflow lie below its own, deeper ones further in; the folded stay together', () => {
    const { lanes, height } = laneLayout(
      unfold(
        outer,
        new Map([
          ['A', sub],
          ['C', deep],
        ]),
      ),
      [0, 80],
      80,
    )
    expect(lanes.map((l) => `${' '.repeat(l.depth)}${l.label} ${l.count}`)).toEqual([
      'call 1',
      'sub 1',
      'sub 1',
      ' fetch 1',
      ' check 1',
      '  look 1',
      'write 1',
    ])
    lanes.slice(1).forEach((lane, i) => expect(lane.y).toBe(lanes[i]!.y + lanes[i]!.h))
    expect(height).toBe(lanes.at(-1)!.y + lanes.at(-1)!.h)
  })
  test('on the axis of time an unfolded subflow has a frame around its own task runs', () => {
    const layout = timeLayout(
      unfold(
        outer,
        new Map([
          ['A', sub],
          ['C', deep],
        ]),
      ),
      [0, 80],
      80,
    )
    expect(layout.frames.map((f) => [f.label, f.depth])).toEqual([
      ['sub-0', 1],
      ['check-0', 2],
    ])
    const [frame, inner] = layout.frames as [(typeof layout.frames)[0], (typeof layout.frames)[0]]
    const of = (node: number) => layout.boxes.find((b) => b.nodes[0] === node)!
    for (const node of [4, 5, 6]) expect(of(node).y).toBeGreaterThanOrEqual(frame.y)
    expect(of(6).y).toBeGreaterThan(inner.y)
    expect(inner.y + inner.h).toBeLessThanOrEqual(frame.y + frame.h)
    expect(of(3).y + of(3).h).toBeLessThanOrEqual(frame.y)
    expect(layout.edges.length).toBe(2)
  })
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

describe('a typed term', () => {
  test('is refused in words where it means nothing', () => {
    expect(refusal('last:soon', KEYS)).toBe('last: takes a span such as 30m, 6h, 1d or 2w')
    expect(refusal('State:Failed', ['tag', 'flow'])).toBe('state: means nothing here')
    expect(['last:6h', 'state:Failed', 'a word', 'https://x', 'tag:'].map((text) => refusal(text, KEYS))).toEqual([
      null,
      null,
      null,
      null,
      null,
    ])
  })
  test('names a state as it is called, however it is typed', () => {
    const states = (text: string) => add(DEFAULTS, text).states
    expect(['state:late', 'state:FAILED', 'state:failed', 'state:My own'].map(states)).toEqual([
      ['Late'],
      ['FAILED'],
      ['Failed'],
      ['My own'],
    ])
  })
})

test('a block is chosen where one is taken, in models too, and one that is spelt out stays so', () => {
  const chat = { type: 'object', block_type_slug: 'chat', properties: { room: { type: 'string' } } }
  const schema: JsonSchema = {
    properties: {
      a: { $ref: '#/definitions/C' },
      b: { $ref: '#/definitions/C' },
      m: { type: 'object', properties: { c: { anyOf: [{ $ref: '#/definitions/C' }, { type: 'null' }] } } },
    },
    definitions: { C: chat },
  }
  const asked = fields(schema, { b: { room: 'x' } })
  expect(takesBlocks(asked)).toBe(true)
  const [a, b, m] = offering(asked, [
    { id: '1', name: 'ops', document: { slug: 'chat' } },
    { id: '2', name: 'other', document: { slug: 'mail' } },
    { id: '3', name: 'old', document: null },
  ])
  expect([a!.kind, a!.labels, b!.kind, m!.kind, m!.children[0]!.kind, m!.children[0]!.nullable]).toEqual([
    'choice',
    ['ops'],
    'group',
    'group',
    'choice',
    true,
  ])
  const entries = initial([a!, b!, m!])
  entries.texts[a!.key] = JSON.stringify(a!.options[0])
  expect(read([a!, b!, m!], entries).values).toEqual({ a: { $ref: { block_document_id: '1' } }, b: { room: 'x' } })
})
