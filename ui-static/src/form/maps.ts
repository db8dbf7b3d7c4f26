// A map is put in as rows of names and values, or as JSON, and may change from one to the other.

import { initial, numbers } from './entries'
import { rowsOf, valueOf } from './reading'
import { type Entries, type Field, jsonKey, nameKey } from './field'

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
