// What a schema asks for: the kind of field that takes it, and the words for it.
//
// The schema is a user's own document (JSON Schema as Pydantic 1 and 2 write it), so nothing in it is
// certain: what cannot be shown as fields of its own is asked for as JSON.

import type { JsonSchema } from '../lib/types'
import { isExact } from '../lib/exact'
import { type Kind, isObject } from './field'
import { isMoment } from './moments'

/** Models inside models are shown as fields down to here, and as JSON below. */
const DEEPEST = 4

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

/** A choice with the value of the property that tells it from the others, where only the union says it. */
function discriminated(choice: JsonSchema, own: JsonSchema, union: JsonSchema): JsonSchema {
  const { propertyName: name, mapping } = union.discriminator ?? {}
  const property = name ? choice.properties?.[name] : undefined
  if (!name || !property || !isObject(mapping) || property.enum || 'const' in property) return choice
  const meant = Object.keys(mapping).filter((key) => mapping[key] === own.$ref)
  if (!meant.length) return choice
  return {
    ...choice,
    properties: { ...choice.properties, [name]: { ...property, enum: meant } },
    required: [...new Set([...(choice.required ?? []), name])],
  }
}

/** The one value that there is to choose. */
export const onlyChoice = (schema: JsonSchema): unknown =>
  'const' in schema ? schema.const : schema.enum?.length === 1 ? schema.enum[0] : undefined

/** Takes "or null" off a schema and says whether a real union is left. */
export function narrowed(schema: JsonSchema, root: JsonSchema): Narrowed {
  const isNull = (s: JsonSchema) => s.type === 'null' || ('const' in s && s.const === null)
  const choices = schema.anyOf ?? schema.oneOf
  if (Array.isArray(choices)) {
    const all = choices.map((choice) => discriminated(resolved(choice, root), choice, schema))
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

export const typeWord = (schema: JsonSchema): string => {
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
  typeof item === 'number' ||
  isExact(item) ||
  (typeof item === 'string' && item.trim() === item && item !== '' && !item.includes('\n'))

/** Whether items are more than anything at all, so that each can have fields. */
const hasShape = (items: unknown): boolean =>
  isObject(items) &&
  (isObject(items.properties) ||
    Array.isArray(items.anyOf) ||
    Array.isArray(items.oneOf) ||
    (typeof items.type === 'string' && items.type !== 'object'))

/** Longer tuples are tables, and better pasted than typed. */
const MOST_PLACES = 12

/** The places of a tuple that is no longer than it has places; newer drafts name them apart. */
export function placesOf(schema: JsonSchema): JsonSchema[] | undefined {
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

/** Whether an object may have whatever names. */
const isFree = (schema: JsonSchema): boolean =>
  !Object.keys(schema.properties ?? {}).length && schema.additionalProperties !== false && !schema.patternProperties

/** More kinds of value than this are chosen by nobody. */
const MOST_VARIANTS = 8

export function kindOf(schema: JsonSchema, union: JsonSchema[], value: unknown, depth: number): Kind {
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
          : isExact(value)
            ? /[.eE]/.test(JSON.stringify(value))
              ? 'number'
              : 'integer'
            : typeof value)
  if (type === 'integer') return 'integer'
  if (type === 'number') return 'number'
  if (type === 'boolean') return 'boolean'
  if (type === 'string') {
    // What is no date, such as a template, is shown and changed as the text that it is.
    const isText = typeof value === 'string' && !isMoment(value, schema.format === 'date')
    if (isText) return 'text'
    return schema.format === 'date' ? 'date' : schema.format === 'date-time' ? 'datetime' : 'text'
  }
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

/** A choice as a person reads it. */
export const optionWord = (option: unknown): string =>
  option === '' ? '(empty)' : typeof option === 'string' ? option : JSON.stringify(option)

export const ordered = (schema: JsonSchema) => {
  const properties = schema.properties ?? {}
  return Object.keys(properties).sort((a, b) => (properties[a]?.position ?? 99) - (properties[b]?.position ?? 99))
}

/** What a person is told that a field takes; what they can see needs no words. */
export function takesOf(schema: JsonSchema, kind: Kind, union: JsonSchema[], nullable: boolean): string {
  const orNull = nullable ? ' or null' : ''
  switch (kind) {
    case 'union':
    case 'choice':
    case 'group':
      return ''
    case 'map':
      return isObject(schema.additionalProperties) && Object.keys(schema.additionalProperties).length
        ? typeWord({ ...schema, type: 'object' })
        : 'object of text or JSON'
    case 'lines':
      return isObject(schema.items) && Array.isArray(schema.items.enum)
        ? `some of ${schema.items.enum.map(optionWord).join(', ')}, one on each line`
        : `${typeWord(schema)}, one on each line`
    case 'json':
      if (union.length) return `JSON: ${union.map(typeWord).join(' or ')}${orNull}`
      return `JSON${schema.type ? `: ${typeWord(schema)}` : ''}${orNull}`
    default:
      return typeWord(schema)
  }
}
