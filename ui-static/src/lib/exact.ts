// Numbers of JSON as they were written: 12345678901234567891 and 1.0 are more than a number here can say.

const json = JSON as unknown as {
  rawJSON?: (text: string) => object
  isRawJSON?: (value: unknown) => boolean
}

/** Whether a value is a number that is kept as it was written; as JSON it is that text again. */
export const isExact = (value: unknown): boolean => json.isRawJSON?.(value) ?? false

/** A number as it is written; undefined in a browser that cannot keep it. */
export const exactly = (text: string): object | undefined => json.rawJSON?.(text)

/** Reads JSON, and keeps the numbers that would be written otherwise than they are. */
export function parseExact(text: string): unknown {
  const keep = (_: string, value: unknown, context?: { source?: string }) =>
    typeof value === 'number' && context?.source !== undefined && context.source !== JSON.stringify(value)
      ? (exactly(context.source) ?? value)
      : value
  return JSON.parse(text, keep) as unknown
}

/** Reads what was typed as an object, or says why it is none. */
export function readObject(text: string): { value?: Record<string, unknown>; error?: string } {
  try {
    const value = parseExact(text)
    return typeof value === 'object' && value && !Array.isArray(value) && !isExact(value)
      ? { value: value as Record<string, unknown> }
      : { error: 'Must be an object: { … }' }
  } catch (cause) {
    return { error: `Not valid JSON: ${(cause as Error).message}` }
  }
}

/**
 * Puts the defaults of a schema as they are written, from the same schema read exactly. Its bounds stay numbers, with
 * which others are compared.
 */
export function putDefaults(schema: unknown, exact: unknown): void {
  if (typeof schema !== 'object' || !schema || typeof exact !== 'object' || !exact) return
  const [into, from] = [schema as Record<string, unknown>, exact as Record<string, unknown>]
  for (const [key, value] of Object.entries(into)) {
    if (key === 'default') into[key] = from[key]
    else if (key === 'properties' || key === '$defs' || key === 'definitions')
      // Their members are names, which may be `default` too.
      for (const name of Object.keys((value ?? {}) as object))
        putDefaults((value as Record<string, unknown>)[name], (from[key] as Record<string, unknown>)[name])
    else putDefaults(value, from[key])
  }
}
