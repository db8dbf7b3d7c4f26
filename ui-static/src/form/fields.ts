// The fields of a form, from a parameter schema and what is set already.

import type { JsonSchema } from '../lib/types'
import { loose } from './reading'
import { kindOf, narrowed, onlyChoice, ordered, placesOf, resolved, takesOf, typeWord } from './schema'
import { shownMoment, zoneWord } from './moments'
import { isExact } from '../lib/exact'
import { isMask } from '../lib/mask'
import { type Field, type Kind, SEPARATOR, isObject, keyOf } from './field'

/** The fields of a deployment: those of its schema, and parameters that no schema mentions. */
export function fields(schema: JsonSchema | null | undefined, parameters: Record<string, unknown>): Field[] {
  const root = schema ?? {}
  const properties = isObject(root.properties) ? (root.properties as Record<string, JsonSchema>) : {}
  const names = [...new Set([...ordered({ ...root, properties }), ...Object.keys(parameters)])]
  return names.map((name) => {
    const own = isObject(properties[name]) ? (properties[name] as JsonSchema) : {}
    // A parameter that the deployment sets need not be given again.
    const required = (root.required?.includes(name) ?? false) && !(name in parameters && !isMask(parameters[name], own))
    return field([name], own, root, parameters[name], name in parameters, required, 0)
  })
}

/** Makes a field of what stands at `path`; `value` is what is set there. */
function field(
  path: string[],
  own: JsonSchema,
  root: JsonSchema,
  value: unknown,
  isGiven: boolean,
  required: boolean,
  depth: number,
): Field {
  const whole = resolved(own, root)
  const { schema: bare, nullable, union } = narrowed(whole, root)
  const schema = withInner(bare, root)
  const isHidden = (one: unknown) => isMask(one, whole) || isMask(one, schema)
  const hasValue = isGiven && !isHidden(value)
  const preset = isHidden(whole.default) ? undefined : whole.default
  const initial = hasValue ? value : preset
  const isSet = initial !== undefined && initial !== null
  const kind = kindOf(schema, union, initial, depth)
  const isNull = initial === null && nullable && kind !== 'json'
  // Where there is one thing to choose, and it is needed or tells a model from others, it is chosen.
  const isOnly = kind === 'choice' && initial === undefined && (required || (path.length > 1 && 'const' in schema))
  const only = isOnly ? onlyChoice(schema) : undefined
  const made: Field = {
    path,
    key: keyOf(path),
    kind,
    required,
    nullable: nullable && kind !== 'json',
    title: titleOf(own, path.at(-1)!),
    hint: typeof whole.description === 'string' ? whole.description : '',
    takes: takesOf(schema, kind, union, nullable) + (kind === 'datetime' ? zoneWord(initial) : ''),
    options: kind === 'choice' ? (schema.enum ?? [schema.const]) : [],
    text: hasValue && kind === 'json' && initial === null ? 'null' : show(only ?? initial, kind),
    isNull,
    hasDefault: hasValue || preset !== undefined,
    children: [],
    value: hasValue ? value : undefined,
    seed: initial === null && !hasValue && !isNull ? undefined : initial,
    schema,
  }
  switch (kind) {
    case 'union': {
      const children = variants(path, union, root, initial, isSet, depth)
      const fitting = isSet ? bestOf(initial, children) : -1
      // Almost every secret is a text.
      const picked = fitting < 0 && required && whole.writeOnly && children[0]?.kind === 'text' ? 0 : fitting
      return { ...made, children, text: picked < 0 ? '' : String(picked) }
    }
    case 'items':
      return growing(made, Array.isArray(initial) ? initial : [], (place, seed, isGiven) =>
        field(place, schema.items as JsonSchema, root, seed, isGiven, true, depth + 1),
      )
    case 'map': {
      const set = isObject(initial) ? initial : {}
      const rows = growing(made, Object.values(set), (place, seed, isGiven) =>
        valueField(place, schema, root, seed, isGiven, depth + 1),
      )
      return { ...rows, names: Object.keys(set) }
    }
    case 'tuple':
      return { ...made, children: placeFields(path, bare, root, Array.isArray(initial) ? initial : [], depth) }
    case 'group':
      return { ...made, children: childrenOf(path, schema, root, initial, depth) }
    default:
      return made
  }
}

/** A schema with the references followed of what is in it. */
function withInner(bare: JsonSchema, root: JsonSchema): JsonSchema {
  const all = (places: unknown[]) =>
    places.map((one) => (isObject(one) ? resolved(one as JsonSchema, root) : one)) as JsonSchema[]
  const schema = { ...bare }
  if (Array.isArray(bare.items)) schema.items = all(bare.items)
  else if (isObject(bare.items)) schema.items = resolved(bare.items as JsonSchema, root)
  if (Array.isArray(bare.prefixItems)) schema.prefixItems = all(bare.prefixItems)
  if (isObject(bare.additionalProperties)) schema.additionalProperties = resolved(bare.additionalProperties, root)
  return schema
}

/** What it refers to has a title of its own, which says what it is and not which. */
const titleOf = (own: JsonSchema, name: string): string =>
  typeof own.title === 'string' && own.title.toLowerCase().replaceAll(' ', '_') !== name.toLowerCase()
    ? own.title
    : name

/** A field to which more of the same can be added: what is set comes first, a field for each. */
function growing(f: Field, set: unknown[], make: (path: string[], seed: unknown, isGiven: boolean) => Field): Field {
  const made = new Map<number, Field>()
  // Each item is one that somebody has asked for, so it is needed.
  const item = (number: number, seed?: unknown): Field => {
    const known = made.get(number)
    if (known && seed === undefined) return known
    const isGiven = seed !== undefined || number < set.length
    const place = [...f.path, String(number)]
    // What comes back from JSON is not as it was set.
    const own = seed === undefined ? make(place, set[number], isGiven) : typed(make(place, seed, true))
    const one = { ...own, title: `${number + 1}` }
    made.set(number, one)
    return one
  }
  const children = set.map((_, i) => item(i))
  return { ...f, children, item, text: set.map((_, i) => i).join() }
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
    seed: isSet ? value : undefined,
    schema: {},
  }
}

function show(value: unknown, kind: Kind): string {
  if (value === undefined || value === null) return ''
  // A text where a number is meant is a template, and is shown as it is.
  if (['text', 'number', 'integer'].includes(kind) && typeof value === 'string') return value
  if (kind === 'date' && typeof value === 'string') return value.slice(0, 10)
  if (kind === 'datetime' && typeof value === 'string') return shownMoment(value)
  if (kind === 'lines' && Array.isArray(value)) {
    const text = value.map((one) => (typeof one === 'string' ? one : JSON.stringify(one))).join('\n')
    // A list that begins so would be read as JSON.
    return text.startsWith('[') ? JSON.stringify(value) : text
  }
  if (kind === 'loose' && typeof value === 'string' && loose(value) === value) return value
  if (kind === 'json') return JSON.stringify(value, null, 2)
  return JSON.stringify(value)
}

/** Whether a value is of the kind that a field takes, as far as it takes to tell the kinds of a union apart. */
function isOfKind(value: unknown, f: Field): boolean {
  if (f.kind === 'choice') return f.options.some((option) => JSON.stringify(option) === JSON.stringify(value))
  if (f.kind === 'integer') return Number.isInteger(value) || isExact(value)
  if (f.kind === 'number') return typeof value === 'number' || isExact(value)
  if (f.kind === 'union') return f.children.some((one) => isOfKind(value, one))
  if (f.kind === 'group')
    return (
      isObject(value) &&
      (f.schema.required ?? []).every((name) => name in value) &&
      f.children.every((one) => one.kind !== 'choice' || isFree(one, value) || isOfKind(value[nameOf(one)], one))
    )
  if (f.kind === 'lines' || f.kind === 'items') return Array.isArray(value)
  if (f.kind === 'tuple') return Array.isArray(value) && value.length <= f.children.length
  if (f.kind === 'map') return isObject(value)
  if (f.kind === 'loose') return true
  if (f.kind === 'date') return typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value)
  if (f.kind === 'datetime') return typeof value === 'string' && /^\d{4}-\d\d-\d\d[T ]/.test(value)
  if (f.kind === 'json')
    return f.schema.type === 'array' ? Array.isArray(value) : f.schema.type === 'object' ? isObject(value) : true
  return typeof value === { text: 'string', boolean: 'boolean' }[f.kind]
}

const nameOf = (f: Field) => f.path.at(-1)!

/** Whether a model says nothing, or that there is none, where a field of it stands. */
const isFree = (f: Field, model: Record<string, unknown>) =>
  model[nameOf(f)] === undefined || (f.nullable && model[nameOf(f)] === null)

/** How much of a value a field that it fits knows by name and kind. */
function known(value: unknown, f: Field): number {
  if (f.kind === 'group' && isObject(value))
    return f.children.filter((one) => nameOf(one) in value && (isFree(one, value) || isOfKind(value[nameOf(one)], one)))
      .length
  if (f.kind === 'lines' && Array.isArray(value)) {
    const isText = (f.schema.items as JsonSchema).type === 'string'
    return value.filter((one) => (typeof one === 'string') === isText).length
  }
  if (f.kind === 'items' && Array.isArray(value)) {
    const empty = f.item!(0)
    return value.reduce<number>((all, one) => all + (isOfKind(one, empty) ? 1 + known(one, empty) : 0), 0)
  }
  return 0
}

/** The number of the field that knows most of a value, the first of those that know as much; -1 if it fits none. */
function bestOf(value: unknown, list: Field[]): number {
  const fitting = list.map((f) => (isOfKind(value, f) ? known(value, f) : -1))
  const most = Math.max(-1, ...fitting)
  return most < 0 ? -1 : fitting.indexOf(most)
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
  // What is set is what it fits best; the others begin empty.
  const empties = union.map((one) => field(path, one, root, undefined, false, true, depth + 1))
  const best = hasValue ? bestOf(value, empties) : -1
  const made = union.map((one, i) => {
    const given = i === best ? field(path, one, root, value, true, true, depth + 1) : empties[i]!
    const title = typeof one.title === 'string' && given.kind === 'group' ? one.title : typeWord(one)
    return rekeyed({ ...given, title, hint: given.hint, isNull: false }, `${keyOf(path)}${SEPARATOR}#${i}`)
  })
  return made
}

/** A field that a person has filled in as JSON, with all that is in it. */
const typed = (f: Field): Field => ({
  ...f,
  isTyped: true,
  children: f.children.map(typed),
  ...(f.item ? { item: (n: number, seed?: unknown) => typed(f.item!(n, seed)) } : {}),
})

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
    if (!slug || (set && !(isObject(f.value) && '$ref' in f.value)))
      return {
        ...f,
        children: offering(f.children, blocks),
        ...(f.item ? { item: (n: number, seed?: unknown) => offering([f.item!(n, seed)], blocks)[0]! } : {}),
      }
    const mine = blocks.filter((b) => b.document?.slug === slug)
    const options = mine.map((b) => ({ $ref: { block_document_id: b.id } }))
    // One that is set stays, though it is not among those that can be seen.
    const isMissing = set && !options.some((o) => JSON.stringify(o) === set)
    const hint = mine.length ? f.hint : `There is no block of this type yet. ${f.hint}`.trim()
    // Its title is that of the other type.
    return {
      ...f,
      kind: 'choice',
      title: f.path.at(-1)!,
      hint,
      children: [],
      takes: `a block of type ${slug}`,
      options: isMissing ? [...options, f.value] : options,
      labels: [...mine.map((b) => b.name), ...(isMissing ? ['the one that is set, which is not in the list'] : [])],
      text: set,
    }
  })
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
