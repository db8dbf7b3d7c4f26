// A field of a form, and what a person has put into it.

import { isExact } from '../lib/exact'
import type { JsonSchema } from '../lib/types'

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
  /** What is given while nobody touches it: what is set, or a default. */
  seed: unknown
  /** Whether a person has typed that, as JSON, so that it is judged. */
  isTyped?: boolean
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

export const SEPARATOR = '\u001f'

export const keyOf = (path: string[]) => path.join(SEPARATOR)

/** Where the name of a value in a map is put in. */
export const nameKey = (f: Field, number: number) => `${f.key}${SEPARATOR}${number}${SEPARATOR}=`

/** Where a map is put in as JSON; while there is a text, it is what counts. */
export const jsonKey = (f: Field) => `${f.key}${SEPARATOR}{}`

export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && !isExact(value)
