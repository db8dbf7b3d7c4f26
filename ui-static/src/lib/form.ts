// A form from a parameter schema: what each field looks like, and what its text means.
//
// The schema is a user's own document (JSON Schema as Pydantic 1 and 2 write it), so nothing in it is
// certain: what cannot be shown as fields of its own is asked for as JSON.

import { localInput } from './time'
import type { JsonSchema } from './types'

export type Kind = 'text' | 'number' | 'integer' | 'boolean' | 'choice' | 'date' | 'datetime' | 'lines' | 'json' | 'group' | 'union'

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
  /** The fields of a model; of a union what it can be, of which its own text says the number. */
  children: Field[]
  /** What is set already. */
  value: unknown
  schema: JsonSchema
}

/** What a person has put into the fields, by key. */
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

/** Takes "or null" off a schema and says whether a real union is left. */
function narrowed(schema: JsonSchema, root: JsonSchema): Narrowed {
  const isNull = (s: JsonSchema) => s.type === 'null' || ('const' in s && s.const === null)
  const choices = schema.anyOf ?? schema.oneOf
  if (Array.isArray(choices)) {
    const all = choices.map((choice) => resolved(choice, root))
    const rest = all.filter((choice) => !isNull(choice))
    const { anyOf: _, oneOf: __, ...own } = schema
    const nullable = rest.length < all.length
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
  if (schema.type === 'array') {
    const item = schema.items && !Array.isArray(schema.items) ? typeWord(schema.items) : ''
    return item ? `list of ${item}` : 'list'
  }
  const type = Array.isArray(schema.type) ? schema.type.join(' or ') : schema.type
  return { string: 'text', object: 'object', integer: 'whole number', number: 'number', boolean: 'yes or no' }[type ?? ''] ?? type ?? 'anything'
}

/** Of what a line of text can be one item each. */
const isPlain = (items: unknown): items is JsonSchema => isObject(items) && ['string', 'integer', 'number'].includes(String(items.type ?? (Array.isArray(items.enum) ? 'string' : '')))
const isLine = (item: unknown) => typeof item === 'number' || (typeof item === 'string' && item.trim() === item && item !== '' && !item.includes('\n'))

/** More kinds of value than this are chosen by nobody. */
const MOST_VARIANTS = 8

function kindOf(schema: JsonSchema, union: JsonSchema[], value: unknown, depth: number): Kind {
  if (union.length) return depth < DEEPEST && union.length <= MOST_VARIANTS ? 'union' : 'json'
  if (Array.isArray(schema.enum) || 'const' in schema) return 'choice'
  const type = schema.type ?? (schema.properties ? 'object' : value === null || value === undefined ? undefined : Array.isArray(value) ? 'array' : typeof value)
  if (type === 'integer') return 'integer'
  if (type === 'number') return 'number'
  if (type === 'boolean') return 'boolean'
  if (type === 'string') return schema.format === 'date' ? 'date' : schema.format === 'date-time' ? 'datetime' : 'text'
  if (type === 'array' && isPlain(schema.items) && (value === undefined || value === null || (Array.isArray(value) && value.every(isLine)))) return 'lines'
  if (type === 'object' && schema.properties && Object.keys(schema.properties).length && depth < DEEPEST && !schema.additionalProperties) return 'group'
  return 'json'
}

const isObject = (value: unknown): value is Record<string, unknown> => typeof value === 'object' && value !== null && !Array.isArray(value)

function show(value: unknown, kind: Kind): string {
  if (value === undefined || value === null) return ''
  if (kind === 'text' && typeof value === 'string') return value
  if (kind === 'date' && typeof value === 'string') return value.slice(0, 10)
  if (kind === 'datetime' && typeof value === 'string') return Number.isNaN(Date.parse(value)) ? '' : localInput(new Date(value))
  if (kind === 'lines' && Array.isArray(value)) return value.join('\n')
  if (kind === 'json') return JSON.stringify(value, null, 2)
  return JSON.stringify(value)
}

/** Whether a value is of the kind that a field takes, as far as it takes to tell the kinds of a union apart. */
function isOfKind(value: unknown, f: Field): boolean {
  if (f.kind === 'choice') return f.options.some((option) => JSON.stringify(option) === JSON.stringify(value))
  if (f.kind === 'integer') return Number.isInteger(value)
  if (f.kind === 'group') return isObject(value) && (f.schema.required ?? []).every((name) => name in value)
  if (f.kind === 'lines') return Array.isArray(value)
  if (f.kind === 'date') return typeof value === 'string' && /^\d{4}-\d\d-\d\d$/.test(value)
  if (f.kind === 'datetime') return typeof value === 'string' && /^\d{4}-\d\d-\d\d[T ]/.test(value)
  if (f.kind === 'json') return f.schema.type === 'array' ? Array.isArray(value) : f.schema.type === 'object' ? isObject(value) : true
  return typeof value === { text: 'string', number: 'number', boolean: 'boolean', union: '' }[f.kind]
}

/** What a union can be, a field each: all in the same place, each with a key of its own. */
function variants(path: string[], union: JsonSchema[], root: JsonSchema, value: unknown, hasValue: boolean, depth: number): Field[] {
  const made = union.map((one, i) => {
    const empty = field(path, one, root, undefined, false, true, depth + 1)
    const given = hasValue && isOfKind(value, empty) ? field(path, one, root, value, true, true, depth + 1) : empty
    const title = typeof one.title === 'string' && given.kind === 'group' ? one.title : typeWord(one)
    return rekeyed({ ...given, title, hint: given.hint, isNull: false }, `${keyOf(path)}${SEPARATOR}#${i}`)
  })
  return made
}

/** A field under another key, with all that is in it. */
function rekeyed(f: Field, key: string): Field {
  return { ...f, key, children: f.children.map((child) => rekeyed(child, `${key}${SEPARATOR}${child.key.split(SEPARATOR).at(-1)}`)) }
}

function field(path: string[], own: JsonSchema, root: JsonSchema, value: unknown, hasValue: boolean, required: boolean, depth: number): Field {
  const whole = resolved(own, root)
  const { schema, nullable, union } = narrowed(whole, root)
  const initial = hasValue ? value : whole.default
  const kind = kindOf(schema, union, initial, depth)
  const name = path.at(-1)!
  const options = kind === 'choice' ? (schema.enum ?? [schema.const]) : []
  const inside = kind === 'union' ? variants(path, union, root, initial, initial !== undefined && initial !== null, depth) : []
  const picked = inside.findIndex((f) => initial !== undefined && initial !== null && isOfKind(initial, f))
  const children = kind === 'union' ? inside : kind === 'group' && !(nullable && initial === null) ? childrenOf(path, schema, root, initial, depth) : kind === 'group' ? childrenOf(path, schema, root, undefined, depth) : []
  return {
    path,
    key: keyOf(path),
    kind,
    required,
    nullable: nullable && kind !== 'json',
    title: typeof schema.title === 'string' && schema.title.toLowerCase().replaceAll(' ', '_') !== name.toLowerCase() && schema.title !== name ? schema.title : name,
    hint: typeof whole.description === 'string' ? whole.description : '',
    takes: kind === 'union' ? '' : kind === 'lines' ? `${typeWord(schema)}, one on each line` : union.length ? `JSON: ${union.map(typeWord).join(' or ')}${nullable ? ' or null' : ''}` : kind === 'json' ? `JSON${schema.type ? `: ${typeWord(schema)}` : ''}${nullable ? ' or null' : ''}` : kind === 'choice' ? '' : kind === 'group' ? '' : typeWord(schema),
    options,
    text: kind === 'union' ? (picked < 0 ? '' : String(picked)) : kind === 'choice' ? (initial === undefined || initial === null ? '' : JSON.stringify(initial)) : kind === 'json' && initial === null && hasValue ? 'null' : show(initial, kind),
    isNull: initial === null && nullable && kind !== 'json',
    hasDefault: hasValue || whole.default !== undefined,
    children,
    value: hasValue ? value : undefined,
    schema,
  }
}

function childrenOf(path: string[], schema: JsonSchema, root: JsonSchema, value: unknown, depth: number): Field[] {
  const values = isObject(value) ? value : {}
  return ordered(schema).map((name) => field([...path, name], schema.properties![name]!, root, values[name], name in values, schema.required?.includes(name) ?? false, depth + 1))
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
export const takesBlocks = (list: Field[]): boolean => list.some((f) => !!f.schema.block_type_slug || takesBlocks(f.children))

/** Offers the blocks that there are where a field takes one of their type. A block that is spelt out stays so. */
export function offering(list: Field[], blocks: { id: string; name: string; document: { slug: string } | null }[]): Field[] {
  return list.map((f) => {
    const slug = f.schema.block_type_slug
    const set = f.value === undefined || f.value === null ? '' : JSON.stringify(f.value)
    if (!slug || (set && !('$ref' in (f.value as object)))) return { ...f, children: offering(f.children, blocks) }
    const mine = blocks.filter((b) => b.document?.slug === slug)
    const options = mine.map((b) => ({ $ref: { block_document_id: b.id } }))
    const isThere = options.some((o) => JSON.stringify(o) === set)
    const hint = mine.length ? f.hint : `There is no block of this type yet. ${f.hint}`.trim()
    // Its title is that of the other type.
    return { ...f, kind: 'choice', title: f.path.at(-1)!, hint, children: [], takes: `a block of type ${slug}`, options, labels: mine.map((b) => b.name), text: isThere ? set : '' }
  })
}

/** What the fields hold before anybody has touched them. */
export function initial(list: Field[], into: Entries = { texts: {}, nulls: {} }): Entries {
  for (const f of list) {
    into.texts[f.key] = f.text
    into.nulls[f.key] = f.isNull
    initial(f.children, into)
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

function valueOf(f: Field, entries: Entries, errors: Record<string, string>): unknown {
  if (f.nullable && entries.nulls[f.key]) return null
  if (f.kind === 'group') {
    const values: Record<string, unknown> = {}
    const wrong: Record<string, string> = {}
    for (const child of f.children) {
      const value = valueOf(child, entries, wrong)
      if (value !== undefined) values[child.path.at(-1)!] = value
    }
    // A model that nobody needs and nobody has begun is left out as a whole.
    if (!f.required && !f.hasDefault && !Object.keys(values).length) return undefined
    Object.assign(errors, wrong)
    return values
  }
  const text = entries.texts[f.key] ?? ''
  if (f.kind === 'union' && text) return valueOf(f.children[Number(text)]!, entries, errors)
  if (text.trim() === '' && !(['text', 'lines'].includes(f.kind) && f.hasDefault && !f.required)) {
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
  for (const line of text.split('\n').map((one) => one.trim()).filter(Boolean)) {
    const item = items.type === 'integer' || items.type === 'number' ? Number(line) : line
    const isWrong = typeof item === 'number' && (items.type === 'integer' ? !Number.isSafeInteger(item) : !Number.isFinite(item))
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
    const above = typeof schema.exclusiveMinimum === 'number' ? schema.exclusiveMinimum : schema.exclusiveMinimum === true ? schema.minimum : undefined
    const below = typeof schema.exclusiveMaximum === 'number' ? schema.exclusiveMaximum : schema.exclusiveMaximum === true ? schema.maximum : undefined
    if (above !== undefined && value <= above) return `Must be above ${above}`
    if (below !== undefined && value >= below) return `Must be below ${below}`
    if (typeof schema.minimum === 'number' && value < schema.minimum) return `Must be at least ${schema.minimum}`
    if (typeof schema.maximum === 'number' && value > schema.maximum) return `Must be at most ${schema.maximum}`
    return undefined
  }
  if (typeof value === 'string') {
    if (schema.minLength !== undefined && value.length < schema.minLength) return `Needs at least ${schema.minLength} characters`
    if (schema.maxLength !== undefined && value.length > schema.maxLength) return `At most ${schema.maxLength} characters`
    return typeof schema.pattern === 'string' && !fits(schema.pattern, value) ? `Must match ${schema.pattern}` : undefined
  }
  if (schema.type === 'array') {
    if (!Array.isArray(value)) return value === null ? undefined : 'Must be a list: [ … ]'
    if (schema.minItems !== undefined && value.length < schema.minItems) return `Needs at least ${schema.minItems} items`
    if (schema.maxItems !== undefined && value.length > schema.maxItems) return `At most ${schema.maxItems} items`
  }
  if (schema.type === 'object' && value !== null && !isObject(value)) return 'Must be an object: { … }'
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
  const path = name?.split('.')
  const all = (fields: Field[]): Field[] => fields.flatMap((f) => [f, ...all(f.children)])
  return path && all(list).find((f) => f.path.join('.') === path.join('.'))
}
