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
