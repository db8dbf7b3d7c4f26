// What of parameters is shown: others may look at the screen of who has a secret.

import type { JsonSchema } from '../lib/types'
import { isObject, type Field } from './field'

const HIDDEN = '••••••••'

const isSecret = (f: Field): boolean =>
  f.schema.format === 'password' || f.schema.writeOnly === true || (f.kind === 'union' && f.children.some(isSecret))

/** A value of a field, with what is secret inside of it hidden too. */
export function shown(f: Field, value: unknown): unknown {
  if (isSecret(f)) return value === null ? null : HIDDEN
  if (f.kind === 'group' && isObject(value)) {
    const hidden = f.children.filter((c) => c.path.at(-1)! in value)
    return { ...value, ...Object.fromEntries(hidden.map((c) => [c.path.at(-1)!, shown(c, value[c.path.at(-1)!])])) }
  }
  if ((f.kind === 'items' || f.kind === 'lines') && Array.isArray(value)) {
    const one = f.item?.(0)
    return one ? value.map((item, i) => shown(f.children[i] ?? one, item)) : hiddenLines(f, value)
  }
  if (f.kind === 'tuple' && Array.isArray(value)) return value.map((item, i) => shown(f.children[i]!, item))
  if (f.kind === 'map' && isObject(value))
    return Object.fromEntries(Object.entries(value).map(([name, item], i) => [name, shown(f.children[i]!, item)]))
  const variant = f.kind === 'union' && f.text !== '' ? f.children[Number(f.text)] : undefined
  return variant ? shown(variant, value) : value
}

const hiddenLines = (f: Field, value: unknown[]) =>
  (f.schema.items as JsonSchema).format === 'password' ? value.map(() => HIDDEN) : value

/** The parameters that are set, as far as others may see them. */
export const withoutSecrets = (list: Field[], parameters: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(
    list.filter((f) => f.path[0]! in parameters).map((f) => [f.path[0]!, shown(f, parameters[f.path[0]!])]),
  )
