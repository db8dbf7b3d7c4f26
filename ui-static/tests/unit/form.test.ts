import { describe, expect, test } from 'vitest'
import { append, initial, isTouched, numbers, remove } from '../../src/form/entries'
import { jsonKey, nameKey, type Field } from '../../src/form/field'
import { blamed, fields, offering, takesBlocks } from '../../src/form/fields'
import { asJson, asRows, canBeRows } from '../../src/form/maps'
import { read } from '../../src/form/reading'
import type { JsonSchema } from '../../src/lib/types'

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

describe('what nobody has touched', () => {
  const sent = (own: JsonSchema, value: unknown, more: JsonSchema = {}) => {
    const list = fields({ properties: { x: own }, ...more }, { x: value })
    return read(list, initial(list))
  }
  const model: JsonSchema = {
    type: 'object',
    required: ['n'],
    properties: {
      n: { type: 'string' },
      at: { type: 'string', format: 'date-time' },
      d: { type: 'integer', default: 3 },
    },
  }
  test.each<[string, JsonSchema, unknown]>([
    ['a moment with microseconds', { type: 'string', format: 'date-time' }, '2026-11-01T06:30:12.123456Z'],
    ['a moment without a zone', { type: 'string', format: 'date-time' }, '2026-03-01T10:00:00'],
    ['a moment with an offset', { type: 'string', format: 'date-time' }, '2026-03-01T10:00:00+02:00'],
    ['a template for a moment', { type: 'string', format: 'date-time' }, '{{ x }}'],
    ['a date with a time', { type: 'string', format: 'date' }, '2026-01-01T00:00:00'],
    ['a model', model, { n: '', at: '2026-01-01T00:00:00', extra: [1] }],
    ['a map', { type: 'object' }, { '': 1, a: null }],
    ['no text', { type: 'string' }, null],
    ['a list', { type: 'array', items: { type: 'string' } }, ['a', '[b]', '1', ' c ', '']],
    ['a duration', { type: 'number', format: 'time-delta' }, 'P1D'],
    ['a template for a number', { type: 'integer' }, '{{ n }}'],
    ['a value that is no choice', { enum: ['a'] }, 'b'],
  ])('is sent as it was set: %s', (_, own, value) => {
    expect(sent(own, value)).toEqual({ values: { x: value }, errors: {} })
    expect(sent({ type: 'array', items: own }, [value])).toEqual({ values: { x: [value] }, errors: {} })
  })
  test('stays beside what somebody has touched', () => {
    const list = fields({ properties: { x: model } }, { x: { n: '', at: '2026-01-01T00:00:00', extra: [1] } })
    const entries = initial(list)
    entries.texts[list[0]!.children[1]!.key] = '2026-01-02T00:00'
    expect(read(list, entries)).toEqual({ values: { x: { n: '', at: '2026-01-02T00:00:00', extra: [1] } }, errors: {} })
    const map = fields({ properties: { x: { type: 'object' } } }, { x: { '': 'a', b: 'c' } })
    const rows = initial(map)
    rows.texts[map[0]!.children[1]!.key] = 'd'
    expect(read(map, rows)).toEqual({ values: { x: { '': 'a', b: 'd' } }, errors: {} })
  })
})

test('a moment that is changed keeps its clock and what the field cannot show', () => {
  const change = (set: string, text: string) => {
    const list = fields({ properties: { x: { type: 'string', format: 'date-time' } } }, { x: set })
    const entries = initial(list)
    entries.texts.x = text
    return [list[0]!.text, list[0]!.takes, read(list, entries).values.x]
  }
  expect(change('2026-11-01T06:30:12.123456Z', '2026-11-01T07:30:12.123')).toEqual([
    '2026-11-01T06:30:12.123',
    'date and time, UTC',
    '2026-11-01T07:30:12.123456Z',
  ])
  expect(change('2026-11-01T06:30:12.123456+02:00', '2026-11-01T07:30:12.5')[2]).toBe('2026-11-01T07:30:12.5+02:00')
  expect(change('2026-11-01 06:30:00', '2026-11-01T07:30').slice(1)).toEqual([
    'date and time without a time zone',
    '2026-11-01T07:30:00',
  ])
})

describe('a tagged union', () => {
  const pets: JsonSchema[] = [
    { type: 'object', title: 'Cat', properties: { kind: { const: 'cat' }, lives: { type: 'integer', default: 9 } } },
    { type: 'object', title: 'Dog', properties: { kind: { const: 'dog' }, tricks: { type: 'integer' } } },
  ]
  const chosen = (union: JsonSchema, value: unknown) => fields({ properties: { x: union } }, { x: value })[0]!.text
  test('is the model that its tag says, or that knows most of it', () => {
    expect(chosen({ anyOf: pets }, { kind: 'dog' })).toBe('1')
    expect(chosen({ anyOf: pets }, { tricks: 2 })).toBe('1')
    expect(chosen({ anyOf: pets }, { kind: 'cow' })).toBe('')
    expect(fields({ properties: { x: { anyOf: pets, default: { kind: 'dog' } } } }, {})[0]!.text).toBe('1')
    const list = fields({ properties: { x: { type: 'array', items: { anyOf: pets } } } }, { x: [{ kind: 'dog' }] })
    expect(list[0]!.children[0]!.text).toBe('1')
    expect(read(list, initial(list)).values).toEqual({ x: [{ kind: 'dog' }] })
  })
  test('has the tag of the model that is chosen, also where only the union says it', () => {
    const tagged = (own: JsonSchema): JsonSchema => ({ type: 'object', required: ['kind'], properties: { kind: own } })
    const schema: JsonSchema = {
      properties: {
        x: {
          oneOf: [{ $ref: '#/$defs/A' }, { $ref: '#/$defs/B' }],
          discriminator: { propertyName: 'kind', mapping: { a: '#/$defs/A', b: '#/$defs/B' } },
        },
      },
      $defs: { A: tagged({ type: 'string' }), B: tagged({ const: 'b' }) },
    }
    for (const [i, kind] of ['a', 'b'].entries()) {
      const list = fields(schema, {})
      const entries = initial(list)
      entries.texts.x = String(i)
      expect(read(list, entries)).toEqual({ values: { x: { kind } }, errors: {} })
    }
    expect(fields(schema, { x: { kind: 'b' } })[0]!.text).toBe('1')
  })
})

test('the mask of a secret is nothing that was given', () => {
  const own: JsonSchema = { type: 'string', format: 'password', default: '**********' }
  const list = fields({ properties: { x: own, y: own }, required: ['x'] }, { x: '**********' })
  expect(list.map((f) => [f.text, f.required])).toEqual([
    ['', true],
    ['', false],
  ])
  expect(read(list, initial(list))).toEqual({ values: {}, errors: { x: 'Needed' } })
})

test('a block that is not in the list stays, and what is no reference is no trouble', () => {
  const schema: JsonSchema = { properties: { a: { block_type_slug: 'chat' }, b: { block_type_slug: 'chat' } } }
  const set = { a: { $ref: { block_document_id: 'gone' } }, b: 'text' }
  const list = offering(fields(schema, set), [])
  expect([list[0]!.options, read(list, initial(list)).values]).toEqual([[set.a], set])
})

test('multiples, unique items and UUIDs are asked for, and choices are named', () => {
  const wrong = (own: JsonSchema, text: string) => {
    const list = fields({ properties: { x: own } }, {})
    return read(list, { texts: { x: text }, nulls: {} }).errors.x
  }
  expect(wrong({ type: 'number', multipleOf: 0.1 }, '0.3')).toBeUndefined()
  expect(wrong({ type: 'integer', multipleOf: 5 }, '7')).toBe('Must be a multiple of 5')
  expect(wrong({ type: 'array', items: { type: 'string' }, uniqueItems: true }, 'a\na')).toBe('There twice: "a"')
  expect(wrong({ type: 'string', format: 'uuid' }, 'x')).toBe('Not a UUID')
  expect(wrong({ type: 'string', format: 'uuid' }, '0b5ba2f6-0d37-4d6c-8f5b-2a9a0b7a3c11')).toBeUndefined()
  const list = fields({ properties: { x: { type: 'array', items: { enum: ['a', ''] } } } }, {})
  expect(list[0]!.takes).toBe('some of a, (empty), one on each line')
})
