// A form from a parameter schema: what each field looks like, and what its text means.

import type { JsonSchema } from './types'

export type Kind = 'text' | 'number' | 'integer' | 'boolean' | 'choice' | 'json'

export interface Field {
  name: string
  kind: Kind
  required: boolean
  title: string
  hint: string
  options: unknown[]
  /** What the field shows at first. */
  text: string
}

const typeOf = (schema: JsonSchema): string | undefined => {
  if (Array.isArray(schema.type)) return schema.type.find((t) => t !== 'null')
  if (schema.type) return schema.type
  return schema.anyOf?.map(typeOf).find((t) => t && t !== 'null')
}

function kindOf(schema: JsonSchema, value: unknown): Kind {
  if (schema.enum) return 'choice'
  const type = typeOf(schema) ?? (value === null || value === undefined ? undefined : Array.isArray(value) ? 'array' : typeof value)
  if (type === 'integer') return 'integer'
  if (type === 'number') return 'number'
  if (type === 'boolean') return 'boolean'
  if (type === 'string') return 'text'
  return 'json'
}

const show = (value: unknown, kind: Kind): string => {
  if (value === undefined) return ''
  if (kind === 'text' && typeof value === 'string') return value
  return value === null && kind !== 'json' ? '' : JSON.stringify(value, null, kind === 'json' ? 2 : 0)
}

/** The fields of a deployment: those of its schema, and parameters that no schema mentions. */
export function fields(schema: JsonSchema | null | undefined, parameters: Record<string, unknown>): Field[] {
  const properties = schema?.properties ?? {}
  const names = [...new Set([...Object.keys(properties).sort((a, b) => (properties[a]!.position ?? 99) - (properties[b]!.position ?? 99)), ...Object.keys(parameters)])]
  return names.map((name) => {
    const own = properties[name] ?? {}
    const value = name in parameters ? parameters[name] : own.default
    const kind = kindOf(own, value)
    return { name, kind, required: schema?.required?.includes(name) ?? false, title: own.title && own.title !== name ? own.title : name, hint: own.description ?? '', options: own.enum ?? [], text: kind === 'choice' ? JSON.stringify(value) : show(value, kind) }
  })
}

/** The value a field's text stands for; `error` says what is wrong with it. `undefined` leaves it to the default. */
export function read(field: Field, text: string): { value?: unknown; error?: string } {
  const blank = text.trim() === ''
  if (blank && field.kind !== 'text') return field.required ? { error: 'Needed' } : {}
  switch (field.kind) {
    case 'text':
      return { value: text }
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
    default:
      try {
        return { value: JSON.parse(text) as unknown }
      } catch {
        return { error: 'Not valid JSON' }
      }
  }
}
