// What is in the fields at first, and how lists of them grow and shrink.

import { type Entries, type Field, isObject, jsonKey, nameKey } from './field'

/** Objects with more than that are shown as JSON at first, and so are those with something inside. */
const MOST_ROWS = 30

const isDeep = (value: unknown) => (Array.isArray(value) || isObject(value)) && Object.keys(value).length > 0

/** What the fields hold before anybody has touched them. */
export function initial(list: Field[], into: Entries = { texts: {}, nulls: {} }): Entries {
  for (const f of list) {
    into.texts[f.key] = f.text
    into.nulls[f.key] = f.isNull
    initial(f.children, into)
    f.names?.forEach((name, i) => (into.texts[nameKey(f, i)] = name))
    const isMuch =
      f.names &&
      (f.names.length > MOST_ROWS ||
        f.children.some((one) => (one.kind === 'loose' || one.kind === 'json' ? isDeep(one.value) : false)))
    if (isMuch)
      into.texts[jsonKey(f)] = JSON.stringify(
        Object.fromEntries(f.names!.map((name, i) => [name, f.children[i]!.value])),
        null,
        2,
      )
  }
  return into
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

/** Takes an item out of it. */
export function remove(f: Field, number: number, entries: Entries) {
  entries.texts[f.key] = numbers(entries.texts[f.key])
    .filter((n) => n !== number)
    .join()
}
