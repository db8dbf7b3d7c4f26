// What the texts in the fields mean: values, or what is wrong with them.

import { exactly, isExact, parseExact } from '../lib/exact'
import type { JsonSchema } from '../lib/types'
import { isTouched, numbers } from './entries'
import { type Entries, type Field, type Reading, isObject, jsonKey, nameKey } from './field'
import { given } from './moments'
import { optionWord, typeWord } from './schema'

/** Reads what a person has put in: the values, and what is wrong by field. */
export function read(list: Field[], entries: Entries): Reading {
  const out: Reading = { values: {}, errors: {} }
  for (const f of list) {
    const value = valueOf(f, entries, out.errors)
    if (value !== undefined) out.values[f.path.at(-1)!] = value
  }
  return out
}

export function valueOf(f: Field, entries: Entries, errors: Record<string, string>): unknown {
  // What nobody has touched is what it was, whatever the field makes of it.
  if (f.seed !== undefined && !f.isTyped && !isTouched(f, entries)) return f.seed
  if (f.nullable && entries.nulls[f.key]) return null
  if (f.kind === 'group') {
    const set = isObject(f.seed) ? f.seed : undefined
    // What no field stands for stays.
    const values: Record<string, unknown> = { ...set }
    const wrong: Record<string, string> = {}
    for (const child of f.children) {
      const name = child.path.at(-1)!
      // What was left to a default still is.
      if (set && !(name in set) && !child.required && !isTouched(child, entries)) continue
      const value = valueOf(child, entries, wrong)
      if (value !== undefined) values[name] = value
      else delete values[name]
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
  const mayBeEmpty = ['text', 'lines', 'loose'].includes(f.kind) && f.hasDefault && (!f.required || f.seed === '')
  if (text.trim() === '' && !mayBeEmpty) {
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
export function map(f: Field, entries: Entries, errors: Record<string, string>): unknown {
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
      const isSet = name === f.names?.[n]
      if (!name && !isSet && !isTouched(one, entries)) continue
      const value = valueOf(one, entries, errors)
      const bad = isSet ? '' : name ? f.schema.propertyNames && bounds(name, f.schema.propertyNames) : 'Needed'
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

export function parse(f: Field, text: string): { value: unknown } | { error: string } {
  switch (f.kind) {
    case 'text':
      return { value: text }
    case 'date':
      return Number.isNaN(Date.parse(text)) ? { error: 'Not a date' } : { value: text }
    case 'datetime':
      return Number.isNaN(Date.parse(text)) ? { error: 'Not a date and time' } : { value: given(text, f.seed) }
    case 'number': {
      const n = Number(text)
      return Number.isFinite(n) ? { value: n } : { error: 'Not a number' }
    }
    case 'integer': {
      return whole(text)
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
        return { value: parseExact(text) }
      } catch {
        return { error: f.takes.includes('text') ? 'Not valid JSON; put text in "quotes"' : 'Not valid JSON' }
      }
  }
}

/** A whole number; one that is too large to count with is kept as it is written. */
function whole(text: string): { value: unknown } | { error: string } {
  const n = Number(text)
  if (Number.isSafeInteger(n)) return { value: n }
  if (!/^\s*[+-]?\d+\s*$/.test(text)) return { error: 'Not a whole number' }
  const value = exactly(String(BigInt(text.trim().replace(/^\+/, ''))))
  return value ? { value } : { error: 'Too large for this browser to keep every digit' }
}

/** What a text means where anything may stand: JSON, or itself; undefined if it begins as JSON and is none. */
export function loose(text: string): unknown {
  try {
    return parseExact(text)
  } catch {
    return /^\s*[[{"]/.test(text) ? undefined : text
  }
}

/** A list with an item on each line; one that is written as JSON is that list, and can be empty. */
function lines(text: string, items: JsonSchema): { value: unknown[] } | { error: string } {
  const value: unknown[] = []
  if (/^\s*\[/.test(text)) {
    try {
      return { value: parseExact(text) as unknown[] }
    } catch {
      // An item that begins with a bracket.
    }
  }
  for (const line of text
    .split('\n')
    .map((one) => one.trim())
    .filter(Boolean)) {
    const read = items.type === 'integer' ? whole(line) : { value: items.type === 'number' ? Number(line) : line }
    if ('error' in read || (typeof read.value === 'number' && !Number.isFinite(read.value)))
      return { error: `Not a ${typeWord(items)}: ${line}` }
    const item = read.value
    if (items.enum && !items.enum.includes(item))
      return { error: `${line} is none of ${items.enum.map(optionWord).join(', ')}` }
    const bad = bounds(item, items)
    if (bad) return { error: `${line}: ${bad[0]!.toLowerCase()}${bad.slice(1)}` }
    value.push(item)
  }
  return { value }
}

/** What the schema says against a value, in words; only what a person can act on. */
function bounds(value: unknown, schema: JsonSchema): string | undefined {
  if (isExact(value)) return bounds(Number(JSON.stringify(value)), schema)
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
    if (typeof schema.multipleOf === 'number' && schema.multipleOf > 0) {
      const times = value / schema.multipleOf
      // 0.3 is three times 0.1, though not to the last digit.
      if (Math.abs(times - Math.round(times)) > 1e-9 * Math.max(1, Math.abs(times)))
        return `Must be a multiple of ${schema.multipleOf}`
    }
    return undefined
  }
  if (typeof value === 'string') {
    if (schema.minLength !== undefined && value.length < schema.minLength)
      return `Needs at least ${schema.minLength} character${schema.minLength === 1 ? '' : 's'}`
    if (schema.maxLength !== undefined && value.length > schema.maxLength)
      return `At most ${schema.maxLength} characters`
    if (schema.format === 'uuid' && !isUuid(value)) return 'Not a UUID'
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
    if (schema.uniqueItems === true) {
      const texts = value.map((one) => JSON.stringify(one))
      const twice = texts.find((one, i) => texts.indexOf(one) < i)
      if (twice !== undefined) return `There twice: ${twice}`
    }
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

/** A UUID in any of the ways that Python takes it. */
const isUuid = (text: string) => /^[0-9a-f]{32}$/i.test(text.replace(/^urn:uuid:/i, '').replace(/[-{}]/g, ''))

/** A pattern of another language may not be one here; then the server judges. */
export function fits(pattern: string, value: string): boolean {
  if (value.length > 2000 || pattern.length > 500) return true
  try {
    return new RegExp(pattern, 'u').test(value)
  } catch {
    return true
  }
}

/** The rows of a map that is written as JSON; undefined where it is none. */
export function rowsOf(text: string): [string, unknown][] | undefined {
  if (!text.trim()) return []
  try {
    const value = parseExact(text)
    return isObject(value) ? Object.entries(value) : undefined
  } catch {
    return undefined
  }
}
