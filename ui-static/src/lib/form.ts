// A form from a parameter schema: what each field looks like, and what its text means.
//
// The schema is a user's own document (JSON Schema as Pydantic 1 and 2 write it), so nothing in it is
// certain: what cannot be shown as fields of its own is asked for as JSON.

import { localInput } from './time'
import type { JsonSchema } from './types'

export type Kind =
  | 'text'
  | 'number'
  | 'integer'
  | 'boolean'
  | 'choice'
  | 'date'
  | 'datetime'
  | 'lines'
  | 'items'
  | 'tuple'
  | 'map'
  | 'loose'
  | 'json'
  | 'group'
  | 'union'

export interface Field {
  /** Where it stands, from the parameter inwards; joined it is the field's key. */
  path: string[]
  key: string
  kind: Kind
  required: boolean
  /** Whether no value at all (null) is one of its values. */
  nullable: boolean
  title: string
  hint: string
  /** What it takes, in a word or two. */
  takes: string
  options: unknown[]
  /** What a person reads for each of them, where that is not the option itself. */
  labels?: string[]
  /** What the field shows at first. */
  text: string
  /** Whether it is null at first. */
  isNull: boolean
  /** Whether leaving it empty leaves it to a default. */
  hasDefault: boolean
  /** The fields of a model; the items of a list, the places of a tuple, the values of a map; of a union what it can be, of which its own text says the number. */
  children: Field[]
  /** Makes the field of an item, by its number, of which its own text lists those that are there; `seed` is what it holds at first. */
  item?: (number: number, seed?: unknown) => Field
  /** What the values of a map are called at first. */
  names?: string[]
  /** What is set already. */
  value: unknown
  schema: JsonSchema
}

/** What a person has put into the fields, by key; also the names in maps, and maps that are written as JSON. */
export interface Entries {
  texts: Record<string, string>
  nulls: Record<string, boolean>
}

export interface Reading {
  /** The values by parameter; what was left to a default is not among them. */
  values: Record<string, unknown>
  /** What is wrong, by key of field. */
  errors: Record<string, string>
}

const SEPARATOR = '\u001f'
/** Models inside models are shown as fields down to here, and as JSON below. */
const DEEPEST = 4

export const keyOf = (path: string[]) => path.join(SEPARATOR)
/** Where the name of a value in a map is put in. */
export const nameKey = (f: Field, number: number) => `${f.key}${SEPARATOR}${number}${SEPARATOR}=`
/** Where a map is put in as JSON; while there is a text, it is what counts. */
export const jsonKey = (f: Field) => `${f.key}${SEPARATOR}{}`

/** Follows references and merges what is spread over `allOf`, so that one object says everything. */
export function resolved(schema: JsonSchema, root: JsonSchema, depth = 0): JsonSchema {
  let out = schema
  if (depth > 8) return out
  if (typeof out.$ref === 'string') {
    const [, shelf, name] = /^#\/(definitions|\$defs)\/(.+)$/.exec(out.$ref) ?? []
    const target = name === undefined ? undefined : root[shelf as 'definitions' | '$defs']?.[name]
    const { $ref: _, ...own } = out
    out = target ? { ...resolved(target, root, depth + 1), ...own } : own
  }
  if (Array.isArray(out.allOf)) {
    const { allOf, ...own } = out
    out = allOf.reduce<JsonSchema>((all, one) => ({ ...all, ...resolved(one, root, depth + 1) }), {})
    out = { ...out, ...own }
  }
  return out
}

interface Narrowed {
  schema: JsonSchema
  nullable: boolean
  /** What a union can be that is more than "this or nothing". */
  union: JsonSchema[]
}

const isText = (schema: JsonSchema) => schema.type === 'string' && !schema.enum && !('const' in schema)
/** Whether a choice says only what one before it says too: a secret of 3.x may be a secret text, a plain text or any JSON. */
const isSaid = (choice: JsonSchema, i: number, all: JsonSchema[]) =>
  isText(choice) && !choice.format && all.slice(0, i).some((other) => isText(other) && other.format === 'password')

/** Takes "or null" off a schema and says whether a real union is left. */
function narrowed(schema: JsonSchema, root: JsonSchema): Narrowed {
  const isNull = (s: JsonSchema) => s.type === 'null' || ('const' in s && s.const === null)
  const choices = schema.anyOf ?? schema.oneOf
  if (Array.isArray(choices)) {
    const all = choices.map((choice) => resolved(choice, root))
    const rest = all.filter((choice, i) => !isNull(choice) && !isSaid(choice, i, all))
    const { anyOf: _, oneOf: __, ...own } = schema
    const nullable = all.some(isNull)
    if (rest.length === 1) {
      const inner = narrowed({ ...rest[0]!, ...own }, root)
      return { ...inner, nullable: nullable || inner.nullable }
    }
    return { schema: own, nullable, union: rest }
  }
  if (Array.isArray(schema.type)) {
    const rest = schema.type.filter((t) => t !== 'null')
    const nullable = rest.length < schema.type.length
    if (rest.length === 1) return { schema: { ...schema, type: rest[0]! }, nullable, union: [] }
    return { schema, nullable, union: rest.map((type) => ({ ...schema, type })) }
  }
  return { schema, nullable: schema.nullable === true, union: [] }
}

const typeWord = (schema: JsonSchema): string => {
  if (schema.enum) return 'choice'
  if (schema.format === 'date-time') return 'date and time'
  if (schema.format === 'date') return 'date'
  if (schema.format === 'time-delta') return 'seconds'
  if (schema.format === 'duration') return 'duration such as PT30M'
  if (schema.type === 'object' && schema.properties && typeof schema.title === 'string') return schema.title
  const places = placesOf(schema)
  if (places) return `(${places.map(typeWord).join(', ')})`
  if (
    schema.type === 'object' &&
    isObject(schema.additionalProperties) &&
    Object.keys(schema.additionalProperties).length
  )
    return `object of ${typeWord(schema.additionalProperties)}`
  if (schema.type === 'array') {
    const item = schema.items && !Array.isArray(schema.items) ? typeWord(schema.items) : ''
    return item ? `list of ${item}` : 'list'
  }
  const type = Array.isArray(schema.type) ? schema.type.join(' or ') : schema.type
  return (
    { string: 'text', object: 'object', integer: 'whole number', number: 'number', boolean: 'yes or no' }[type ?? ''] ??
    type ??
    'anything'
  )
}

/** Of what a line of text can be one item each. */
const isPlain = (items: unknown): items is JsonSchema =>
  isObject(items) &&
  ['string', 'integer', 'number'].includes(String(items.type ?? (Array.isArray(items.enum) ? 'string' : '')))
const isLine = (item: unknown) =>
  typeof item === 'number' || (typeof item === 'string' && item.trim() === item && item !== '' && !item.includes('\n'))

/** Whether items are more than anything at all, so that each can have fields. */
const hasShape = (items: unknown): boolean =>
  isObject(items) &&
  (isObject(items.properties) ||
    Array.isArray(items.anyOf) ||
    Array.isArray(items.oneOf) ||
    (typeof items.type === 'string' && items.type !== 'object'))

/** The places of a tuple that is no longer than it has places; newer drafts name them apart. */
function placesOf(schema: JsonSchema): JsonSchema[] | undefined {
  const places = Array.isArray(schema.prefixItems)
    ? schema.prefixItems
    : Array.isArray(schema.items)
      ? schema.items
      : []
  const isOpen =
    schema.maxItems === undefined
      ? isObject(schema.items) || isObject(schema.additionalItems)
      : schema.maxItems > places.length
  return schema.type === 'array' && places.length && places.length <= MOST_PLACES && places.every(isObject) && !isOpen
    ? places
    : undefined
}

/** Longer tuples are tables, and better pasted than typed. */
const MOST_PLACES = 12

/** Whether an object may have whatever names. */
const isFree = (schema: JsonSchema): boolean =>
  !Object.keys(schema.properties ?? {}).length && schema.additionalProperties !== false && !schema.patternProperties

/** Objects with more than that are shown as JSON at first, and so are those with something inside. */
const MOST_ROWS = 30
const isDeep = (value: unknown) => typeof value === 'object' && value !== null && Object.keys(value).length > 0

/** More kinds of value than this are chosen by nobody. */
const MOST_VARIANTS = 8

function kindOf(schema: JsonSchema, union: JsonSchema[], value: unknown, depth: number): Kind {
  if (union.length) return depth < DEEPEST && union.length <= MOST_VARIANTS ? 'union' : 'json'
  if (Array.isArray(schema.enum) || 'const' in schema) return 'choice'
  const type =
    schema.type ??
    (schema.properties
      ? 'object'
      : value === null || value === undefined
        ? undefined
        : Array.isArray(value)
          ? 'array'
          : typeof value)
  if (type === 'integer') return 'integer'
  if (type === 'number') return 'number'
  if (type === 'boolean') return 'boolean'
  if (type === 'string') return schema.format === 'date' ? 'date' : schema.format === 'date-time' ? 'datetime' : 'text'
  const isList = type === 'array' && (value === undefined || value === null || Array.isArray(value))
  if (
    isList &&
    !schema.prefixItems?.length &&
    isPlain(schema.items) &&
    ((value as unknown[] | undefined) ?? []).every(isLine)
  )
    return 'lines'
  const places = placesOf(schema)
  if (isList && places)
    return depth < DEEPEST && ((value as unknown[] | undefined) ?? []).length <= places.length ? 'tuple' : 'json'
  if (schema.prefixItems?.length) return 'json'
  if (isList && depth < DEEPEST && hasShape(schema.items)) return 'items'
  if (
    type === 'object' &&
    isFree(schema) &&
    depth < DEEPEST &&
    (value === undefined || value === null || isObject(value))
  )
    return 'map'
  if (
    type === 'object' &&
    schema.properties &&
    Object.keys(schema.properties).length &&
    depth < DEEPEST &&
    !schema.additionalProperties
  )
    return 'group'
  return 'json'
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function show(value: unknown, kind: Kind): string {
  if (value === undefined || value === null) return ''
  if (kind === 'text' && typeof value === 'string') return value
  if (kind === 'date' && typeof value === 'string') return value.slice(0, 10)
  if (kind === 'datetime' && typeof value === 'string')
    return Number.isNaN(Date.parse(value)) ? '' : localInput(new Date(value))
  if (kind === 'lines' && Array.isArray(value)) return value.join('\n')
  if (kind === 'loose' && typeof value === 'string' && loose(value) === value) return value
  if (kind === 'json') return JSON.stringify(value, null, 2)
  return JSON.stringify(value)
}

/** What a text means where anything may stand: JSON, or itself; undefined if it begins as JSON and is none. */
function loose(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return /^\s*[[{"]/.test(text) ? undefined : text
  }
}

/** Whether a value is of the kind that a field takes, as far as it takes to tell the kinds of a union apart. */
function isOfKind(value: unknown, f: Field): boolean {
  if (f.kind === 'choice') return f.options.some((option) => JSON.stringify(option) === JSON.stringify(value))
  if (f.kind === 'integer') return Number.isInteger(value)
  if (f.kind === 'group') return isObject(value) && (f.schema.required ?? []).every((name) => name in value)
  if (f.kind === 'lines' || f.kind === 'items') return Array.isArray(value)
  if (f.kind === 'tuple') return Array.isArray(value) && value.length <= f.children.length
  if (f.kind === 'map') return isObject(value)
  if (f.kind === 'loose') return true
  if (f.kind === 'date') return typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value)
  if (f.kind === 'datetime') return typeof value === 'string' && /^\d{4}-\d\d-\d\d[T ]/.test(value)
  if (f.kind === 'json')
    return f.schema.type === 'array' ? Array.isArray(value) : f.schema.type === 'object' ? isObject(value) : true
  return typeof value === { text: 'string', number: 'number', boolean: 'boolean', union: '' }[f.kind]
}

/** What a union can be, a field each: all in the same place, each with a key of its own. */
function variants(
  path: string[],
  union: JsonSchema[],
  root: JsonSchema,
  value: unknown,
  hasValue: boolean,
  depth: number,
): Field[] {
  // What is set is the first that it can be; the others begin empty.
  let isTaken = !hasValue
  const made = union.map((one, i) => {
    const empty = field(path, one, root, undefined, false, true, depth + 1)
    const fits = !isTaken && isOfKind(value, empty)
    isTaken ||= fits
    const given = fits ? field(path, one, root, value, true, true, depth + 1) : empty
    const title = typeof one.title === 'string' && given.kind === 'group' ? one.title : typeWord(one)
    return rekeyed({ ...given, title, hint: given.hint, isNull: false }, `${keyOf(path)}${SEPARATOR}#${i}`)
  })
  return made
}

/** A field under another key, with all that is in it. */
function rekeyed(f: Field, key: string): Field {
  const under = (child: Field) => rekeyed(child, `${key}${SEPARATOR}${child.key.split(SEPARATOR).at(-1)}`)
  return {
    ...f,
    key,
    children: f.children.map(under),
    ...(f.item ? { item: (n: number, seed?: unknown) => under(f.item!(n, seed)) } : {}),
  }
}

function field(
  path: string[],
  own: JsonSchema,
  root: JsonSchema,
  value: unknown,
  hasValue: boolean,
  required: boolean,
  depth: number,
): Field {
  const whole = resolved(own, root)
  const { schema: bare, nullable, union } = narrowed(whole, root)
  const schema = { ...bare }
  const all = (places: unknown[]) =>
    places.map((one) => (isObject(one) ? resolved(one as JsonSchema, root) : one)) as JsonSchema[]
  if (Array.isArray(bare.items)) schema.items = all(bare.items)
  else if (isObject(bare.items)) schema.items = resolved(bare.items as JsonSchema, root)
  if (Array.isArray(bare.prefixItems)) schema.prefixItems = all(bare.prefixItems)
  if (isObject(bare.additionalProperties)) schema.additionalProperties = resolved(bare.additionalProperties, root)
  const initial = hasValue ? value : whole.default
  const kind = kindOf(schema, union, initial, depth)
  const name = path.at(-1)!
  const options = kind === 'choice' ? (schema.enum ?? [schema.const]) : []
  const inside =
    kind === 'union' ? variants(path, union, root, initial, initial !== undefined && initial !== null, depth) : []
  const fitting = inside.findIndex((f) => initial !== undefined && initial !== null && isOfKind(initial, f))
  // Almost every secret is a text.
  const picked = fitting < 0 && required && whole.writeOnly && inside[0]?.kind === 'text' ? 0 : fitting
  const names = kind === 'map' && isObject(initial) ? Object.keys(initial) : []
  const set =
    kind === 'map'
      ? names.map((one) => (initial as Record<string, unknown>)[one])
      : (kind === 'items' || kind === 'tuple') && Array.isArray(initial)
        ? initial
        : []
  const made = new Map<number, Field>()
  // Each item is one that somebody has asked for, so it is needed; what is set comes first.
  const item = (number: number, seed?: unknown): Field => {
    const known = made.get(number)
    if (known && seed === undefined) return known
    const isSet = seed !== undefined || number < set.length
    const place = [...path, String(number)]
    const one =
      kind === 'map'
        ? valueField(place, schema, root, seed ?? set[number], isSet, depth + 1)
        : field(place, schema.items as JsonSchema, root, seed ?? set[number], isSet, true, depth + 1)
    made.set(number, { ...one, title: `${number + 1}` })
    return made.get(number)!
  }
  const children =
    kind === 'union'
      ? inside
      : kind === 'items' || kind === 'map'
        ? set.map((_, i) => item(i))
        : kind === 'tuple'
          ? placeFields(path, bare, root, set, depth)
          : kind === 'group' && !(nullable && initial === null)
            ? childrenOf(path, schema, root, initial, depth)
            : kind === 'group'
              ? childrenOf(path, schema, root, undefined, depth)
              : []
  return {
    path,
    key: keyOf(path),
    kind,
    required,
    nullable: nullable && kind !== 'json',
    // What it refers to has a title of its own, which says what it is and not which.
    title:
      typeof own.title === 'string' && own.title.toLowerCase().replaceAll(' ', '_') !== name.toLowerCase()
        ? own.title
        : name,
    hint: typeof whole.description === 'string' ? whole.description : '',
    takes:
      kind === 'union'
        ? ''
        : kind === 'items' || kind === 'tuple'
          ? typeWord(schema)
          : kind === 'map'
            ? isObject(schema.additionalProperties) && Object.keys(schema.additionalProperties).length
              ? typeWord({ ...schema, type: 'object' })
              : 'object of text or JSON'
            : kind === 'lines'
              ? `${typeWord(schema)}, one on each line`
              : union.length
                ? `JSON: ${union.map(typeWord).join(' or ')}${nullable ? ' or null' : ''}`
                : kind === 'json'
                  ? `JSON${schema.type ? `: ${typeWord(schema)}` : ''}${nullable ? ' or null' : ''}`
                  : kind === 'choice'
                    ? ''
                    : kind === 'group'
                      ? ''
                      : typeWord(schema),
    options,
    text:
      kind === 'items' || kind === 'map'
        ? set.map((_, i) => i).join()
        : kind === 'union'
          ? picked < 0
            ? ''
            : String(picked)
          : kind === 'choice'
            ? initial === undefined || initial === null
              ? ''
              : JSON.stringify(initial)
            : kind === 'json' && initial === null && hasValue
              ? 'null'
              : show(initial, kind),
    isNull: initial === null && nullable && kind !== 'json',
    hasDefault: hasValue || whole.default !== undefined,
    children,
    ...(kind === 'items' || kind === 'map' ? { item } : {}),
    ...(kind === 'map' ? { names } : {}),
    value: hasValue ? value : undefined,
    schema,
  }
}

function childrenOf(path: string[], schema: JsonSchema, root: JsonSchema, value: unknown, depth: number): Field[] {
  const values = isObject(value) ? value : {}
  return ordered(schema).map((name) =>
    field(
      [...path, name],
      schema.properties![name]!,
      root,
      values[name],
      name in values,
      schema.required?.includes(name) ?? false,
      depth + 1,
    ),
  )
}

/** The places of a tuple, a field each; a number stands for a name where it has none. */
function placeFields(path: string[], schema: JsonSchema, root: JsonSchema, set: unknown[], depth: number): Field[] {
  const needed = schema.minItems ?? Infinity
  return placesOf(schema)!.map((place, i) => {
    const one = field([...path, String(i)], place, root, set[i], i < set.length, i < needed, depth + 1)
    return { ...one, title: typeof place.title === 'string' ? place.title : `${path.at(-1)} ${i + 1}` }
  })
}

/** A value of a map. A text may be empty there, since its name says that it is meant. */
function valueField(
  path: string[],
  schema: JsonSchema,
  root: JsonSchema,
  value: unknown,
  isSet: boolean,
  depth: number,
): Field {
  const own = schema.additionalProperties
  if (isObject(own) && Object.keys(own).length) {
    const one = field(path, own, root, value, isSet, true, depth)
    return one.kind === 'text' ? { ...one, required: false, hasDefault: true } : one
  }
  const one = field(path, { type: 'string' }, root, undefined, false, false, depth)
  return {
    ...one,
    kind: 'loose',
    takes: 'text or JSON',
    hasDefault: true,
    text: isSet ? (value === null ? 'null' : show(value, 'loose')) : '',
    value,
    schema: {},
  }
}

const ordered = (schema: JsonSchema) => {
  const properties = schema.properties ?? {}
  return Object.keys(properties).sort((a, b) => (properties[a]?.position ?? 99) - (properties[b]?.position ?? 99))
}

/** The fields of a deployment: those of its schema, and parameters that no schema mentions. */
export function fields(schema: JsonSchema | null | undefined, parameters: Record<string, unknown>): Field[] {
  const root = schema ?? {}
  const properties = isObject(root.properties) ? (root.properties as Record<string, JsonSchema>) : {}
  const names = [...new Set([...ordered({ ...root, properties }), ...Object.keys(parameters)])]
  return names.map((name) => {
    const own = isObject(properties[name]) ? (properties[name] as JsonSchema) : {}
    // A parameter that the deployment sets need not be given again.
    const required = (root.required?.includes(name) ?? false) && !(name in parameters)
    return field([name], own, root, parameters[name], name in parameters, required, 0)
  })
}

/** Whether a field takes a block, here or inside of a model. */
export const takesBlocks = (list: Field[]): boolean =>
  list.some(
    (f) =>
      !!f.schema.block_type_slug || takesBlocks(f.children) || (!!f.item && takesBlocks([f.item(f.children.length)])),
  )

/** Offers the blocks that there are where a field takes one of their type. A block that is spelt out stays so. */
export function offering(
  list: Field[],
  blocks: { id: string; name: string; document: { slug: string } | null }[],
): Field[] {
  return list.map((f) => {
    const slug = f.schema.block_type_slug
    const set = f.value === undefined || f.value === null ? '' : JSON.stringify(f.value)
    if (!slug || (set && !('$ref' in (f.value as object))))
      return {
        ...f,
        children: offering(f.children, blocks),
        ...(f.item ? { item: (n: number, seed?: unknown) => offering([f.item!(n, seed)], blocks)[0]! } : {}),
      }
    const mine = blocks.filter((b) => b.document?.slug === slug)
    const options = mine.map((b) => ({ $ref: { block_document_id: b.id } }))
    const isThere = options.some((o) => JSON.stringify(o) === set)
    const hint = mine.length ? f.hint : `There is no block of this type yet. ${f.hint}`.trim()
    // Its title is that of the other type.
    return {
      ...f,
      kind: 'choice',
      title: f.path.at(-1)!,
      hint,
      children: [],
      takes: `a block of type ${slug}`,
      options,
      labels: mine.map((b) => b.name),
      text: isThere ? set : '',
    }
  })
}

/** What the fields hold before anybody has touched them. */
export function initial(list: Field[], into: Entries = { texts: {}, nulls: {} }): Entries {
  for (const f of list) {
    into.texts[f.key] = f.text
    into.nulls[f.key] = f.isNull
    initial(f.children, into)
    f.names?.forEach((name, i) => (into.texts[nameKey(f, i)] = name))
    if (
      f.names &&
      (f.names.length > MOST_ROWS ||
        f.children.some((one) => (one.kind === 'loose' || one.kind === 'json') && isDeep(one.value)))
    )
      asJson(f, into)
  }
  return into
}

/** Reads what a person has put in: the values, and what is wrong by field. */
export function read(list: Field[], entries: Entries): Reading {
  const out: Reading = { values: {}, errors: {} }
  for (const f of list) {
    const value = valueOf(f, entries, out.errors)
    if (value !== undefined) out.values[f.path.at(-1)!] = value
  }
  return out
}

/** Whether somebody has put in anything else than what was there at first. */
export const isTouched = (f: Field, entries: Entries): boolean =>
  (entries.texts[f.key] ?? '') !== f.text ||
  (entries.nulls[f.key] ?? false) !== f.isNull ||
  f.children.some((child) => isTouched(child, entries)) ||
  (f.names?.some((name, i) => entries.texts[nameKey(f, i)] !== name) ?? false) ||
  (f.kind === 'map' && (entries.texts[jsonKey(f)] ?? initial([f]).texts[jsonKey(f)]) !== initial([f]).texts[jsonKey(f)])

/** The items that the text of a list of fields names. */
export const numbers = (text: string | undefined): number[] => (text ? text.split(',').map(Number) : [])

/** Puts one more item into a list of fields. */
export function append(f: Field, entries: Entries) {
  const there = numbers(entries.texts[f.key])
  const next = Math.max(-1, ...there, ...f.children.map((_, i) => i)) + 1
  initial([f.item!(next)], entries)
  if (f.kind === 'map') entries.texts[nameKey(f, next)] = ''
  entries.texts[f.key] = [...there, next].join()
  return next
}

/** Goes on with a map as JSON; what is wrong in its rows is kept as the text that it is. */
export function asJson(f: Field, entries: Entries) {
  const pairs = numbers(entries.texts[f.key]).map((n) => {
    const wrong: Record<string, string> = {}
    const value = valueOf(f.item!(n), entries, wrong)
    return [
      entries.texts[nameKey(f, n)] ?? '',
      Object.keys(wrong).length ? (entries.texts[f.item!(n).key] ?? '') : value,
    ] as const
  })
  entries.texts[jsonKey(f)] = pairs.length ? JSON.stringify(Object.fromEntries(pairs), null, 2) : f.required ? '{}' : ''
}

/** Whether the JSON of a map can go on as rows. */
export const canBeRows = (f: Field, entries: Entries): boolean => rowsOf(entries.texts[jsonKey(f)] ?? '') !== undefined

function rowsOf(text: string): [string, unknown][] | undefined {
  if (!text.trim()) return []
  try {
    const value = JSON.parse(text) as unknown
    return isObject(value) ? Object.entries(value) : undefined
  } catch {
    return undefined
  }
}

/** Goes on with the JSON of a map as rows. */
export function asRows(f: Field, entries: Entries) {
  const rows = rowsOf(entries.texts[jsonKey(f)] ?? '')
  if (!rows) return
  // Numbers of their own, since what was in the fields of others would come back.
  const begin = Math.max(-1, ...numbers(entries.texts[f.key]), ...f.children.map((_, i) => i)) + 1
  rows.forEach(([name, value], i) => {
    initial([f.item!(begin + i, value)], entries)
    entries.texts[nameKey(f, begin + i)] = name
  })
  entries.texts[f.key] = rows.map((_, i) => begin + i).join()
  delete entries.texts[jsonKey(f)]
}

/** Takes an item out of it. */
export function remove(f: Field, number: number, entries: Entries) {
  entries.texts[f.key] = numbers(entries.texts[f.key])
    .filter((n) => n !== number)
    .join()
}

function valueOf(f: Field, entries: Entries, errors: Record<string, string>): unknown {
  if (f.nullable && entries.nulls[f.key]) return null
  if (f.kind === 'group') {
    const values: Record<string, unknown> = {}
    const wrong: Record<string, string> = {}
    for (const child of f.children) {
      const value = valueOf(child, entries, wrong)
      if (value !== undefined) values[child.path.at(-1)!] = value
    }
    // A model that nobody needs and nobody has begun is left out as a whole, whatever its own defaults are.
    if (!f.required && !f.hasDefault && !f.children.some((child) => isTouched(child, entries))) return undefined
    Object.assign(errors, wrong)
    return values
  }
  if (f.kind === 'tuple') return tuple(f, entries, errors)
  if (f.kind === 'map') return map(f, entries, errors)
  const text = entries.texts[f.key] ?? ''
  if (f.kind === 'items') {
    const values = numbers(text).map((n) => valueOf(f.item!(n), entries, errors))
    if (!values.length && !f.required && !f.hasDefault) return undefined
    const bad = bounds(values, f.schema)
    if (bad) errors[f.key] = bad
    return values
  }
  if (f.kind === 'union' && text) return valueOf(f.children[Number(text)]!, entries, errors)
  if (text.trim() === '' && !(['text', 'lines', 'loose'].includes(f.kind) && f.hasDefault && !f.required)) {
    if (f.required) errors[f.key] = 'Needed'
    return undefined
  }
  const answer = parse(f, text)
  if ('error' in answer) {
    errors[f.key] = answer.error
    return undefined
  }
  const bad = bounds(answer.value, f.schema)
  if (bad) errors[f.key] = bad
  return answer.value
}

/** A tuple: all of its places, or none of them where nobody needs it. What may be missing may be so at its end. */
function tuple(f: Field, entries: Entries, errors: Record<string, string>): unknown {
  const wrong: Record<string, string> = {}
  const values = f.children.map((child) => valueOf(child, entries, wrong))
  if (!f.required && !f.hasDefault && !f.children.some((child) => isTouched(child, entries))) return undefined
  Object.assign(errors, wrong)
  const length = values.findLastIndex((value) => value !== undefined) + 1
  values.slice(0, length).forEach((value, i) => {
    const { key } = f.children[i]!
    if (value === undefined && !Object.keys(wrong).some((one) => one.startsWith(key))) errors[key] = 'Needed'
  })
  return values.slice(0, length)
}

/** An object of whatever names, by its rows or as JSON. */
function map(f: Field, entries: Entries, errors: Record<string, string>): unknown {
  const json = entries.texts[jsonKey(f)]
  const pairs: [string, unknown][] = []
  if (json !== undefined) {
    if (!json.trim() && f.required) errors[f.key] = 'Needed'
    if (!json.trim()) return undefined
    const rows = rowsOf(json)
    if (!rows) {
      errors[f.key] = 'error' in parse({ ...f, kind: 'json' }, json) ? 'Not valid JSON' : 'Must be an object: { … }'
      return undefined
    }
    pairs.push(...rows)
  } else {
    for (const n of numbers(entries.texts[f.key])) {
      const one = f.item!(n)
      const [name, key] = [entries.texts[nameKey(f, n)] ?? '', nameKey(f, n)]
      // A row that nobody has begun is none.
      if (!name && !isTouched(one, entries)) continue
      const value = valueOf(one, entries, errors)
      const bad = name ? f.schema.propertyNames && bounds(name, f.schema.propertyNames) : 'Needed'
      if (bad) errors[key] = bad
      else if (pairs.some(([other]) => other === name)) errors[key] = 'This name is there already'
      else pairs.push([name, value])
    }
    if (!pairs.length && !f.required && !f.hasDefault) return undefined
  }
  const value = Object.fromEntries(pairs)
  const bad = bounds(value, { ...f.schema, type: 'object' })
  if (bad) errors[f.key] = bad
  return value
}

function parse(f: Field, text: string): { value: unknown } | { error: string } {
  switch (f.kind) {
    case 'text':
      return { value: text }
    case 'date':
      return Number.isNaN(Date.parse(text)) ? { error: 'Not a date' } : { value: text }
    case 'datetime':
      return Number.isNaN(Date.parse(text)) ? { error: 'Not a date and time' } : { value: new Date(text).toISOString() }
    case 'number': {
      const n = Number(text)
      return Number.isFinite(n) ? { value: n } : { error: 'Not a number' }
    }
    case 'integer': {
      const n = Number(text)
      return Number.isSafeInteger(n) ? { value: n } : { error: 'Not a whole number' }
    }
    case 'boolean':
      return { value: text === 'true' }
    case 'loose': {
      const value = loose(text)
      return value === undefined ? { error: 'Not valid JSON; put text that begins so in "quotes"' } : { value }
    }
    case 'lines':
      return lines(text, f.schema.items as JsonSchema)
    default:
      try {
        return { value: JSON.parse(text) as unknown }
      } catch {
        return { error: f.takes.includes('text') ? 'Not valid JSON; put text in "quotes"' : 'Not valid JSON' }
      }
  }
}

/** A list with an item on each line; one that is written as JSON is that list, and can be empty. */
function lines(text: string, items: JsonSchema): { value: unknown[] } | { error: string } {
  const value: unknown[] = []
  if (/^\s*\[/.test(text)) {
    try {
      return { value: JSON.parse(text) as unknown[] }
    } catch {
      // An item that begins with a bracket.
    }
  }
  for (const line of text
    .split('\n')
    .map((one) => one.trim())
    .filter(Boolean)) {
    const item = items.type === 'integer' || items.type === 'number' ? Number(line) : line
    const isWrong =
      typeof item === 'number' && (items.type === 'integer' ? !Number.isSafeInteger(item) : !Number.isFinite(item))
    if (isWrong) return { error: `Not a ${typeWord(items)}: ${line}` }
    if (items.enum && !items.enum.includes(item)) return { error: `${line} is none of ${items.enum.join(', ')}` }
    const bad = bounds(item, items)
    if (bad) return { error: `${line}: ${bad[0]!.toLowerCase()}${bad.slice(1)}` }
    value.push(item)
  }
  return { value }
}

/** What the schema says against a value, in words; only what a person can act on. */
function bounds(value: unknown, schema: JsonSchema): string | undefined {
  if (typeof value === 'number') {
    // Draft 4 writes exclusive bounds as flags beside the bound, newer drafts as numbers.
    const above =
      typeof schema.exclusiveMinimum === 'number'
        ? schema.exclusiveMinimum
        : schema.exclusiveMinimum === true
          ? schema.minimum
          : undefined
    const below =
      typeof schema.exclusiveMaximum === 'number'
        ? schema.exclusiveMaximum
        : schema.exclusiveMaximum === true
          ? schema.maximum
          : undefined
    if (above !== undefined && value <= above) return `Must be above ${above}`
    if (below !== undefined && value >= below) return `Must be below ${below}`
    if (typeof schema.minimum === 'number' && value < schema.minimum) return `Must be at least ${schema.minimum}`
    if (typeof schema.maximum === 'number' && value > schema.maximum) return `Must be at most ${schema.maximum}`
    return undefined
  }
  if (typeof value === 'string') {
    if (schema.minLength !== undefined && value.length < schema.minLength)
      return `Needs at least ${schema.minLength} character${schema.minLength === 1 ? '' : 's'}`
    if (schema.maxLength !== undefined && value.length > schema.maxLength)
      return `At most ${schema.maxLength} characters`
    return typeof schema.pattern === 'string' && !fits(schema.pattern, value)
      ? `Must match ${schema.pattern}`
      : undefined
  }
  if (schema.type === 'array') {
    if (!Array.isArray(value)) return value === null ? undefined : 'Must be a list: [ … ]'
    if (schema.minItems !== undefined && value.length < schema.minItems)
      return `Needs at least ${schema.minItems} item${schema.minItems === 1 ? '' : 's'}`
    if (schema.maxItems !== undefined && value.length > schema.maxItems)
      return `At most ${schema.maxItems} item${schema.maxItems === 1 ? '' : 's'}`
  }
  if (schema.type === 'object' && value !== null && !isObject(value)) return 'Must be an object: { … }'
  if (schema.type === 'object' && isObject(value)) {
    const size = Object.keys(value).length
    if (schema.minProperties !== undefined && size < schema.minProperties)
      return `Needs at least ${schema.minProperties} row${schema.minProperties === 1 ? '' : 's'}`
    if (schema.maxProperties !== undefined && size > schema.maxProperties)
      return `At most ${schema.maxProperties} row${schema.maxProperties === 1 ? '' : 's'}`
  }
  return undefined
}

/** A pattern of another language may not be one here; then the server judges. */
function fits(pattern: string, value: string): boolean {
  if (value.length > 2000 || pattern.length > 500) return true
  try {
    return new RegExp(pattern, 'u').test(value)
  } catch {
    return true
  }
}

/** The field that a server's refusal speaks of, if it names one. */
export function blamed(list: Field[], message: string): Field | undefined {
  const name = /field '([^']+)'/.exec(message)?.[1]
  const path = name?.split('.') ?? []
  const all = (fields: Field[]): Field[] => fields.flatMap((f) => [f, ...all(f.children)])
  // What stands in a map has no field of that name; the map is next to it.
  for (let end = path.length; end; end--) {
    const found = all(list).find(
      (f) => f.path.join('.') === path.slice(0, end).join('.') && (end === path.length || f.kind === 'map'),
    )
    if (found) return found
  }
  return undefined
}
