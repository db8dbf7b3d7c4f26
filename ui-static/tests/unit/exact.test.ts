import { expect, test } from 'vitest'
import { putDefaults, readObject } from '../../src/lib/exact'

// That numbers keep their digits is tested in a browser, since Node cannot.
test('what is no object is told as what it is', () => {
  for (const text of ['1', '1.0', '[]', 'null', '"a"']) expect(readObject(text).error).toMatch(/^Must be an object/)
  expect(readObject('{').error).toMatch(/^Not valid JSON: ./)
})

test('the defaults of a schema are taken from another reading, and nothing else', () => {
  const schema = (minimum: unknown, preset: unknown) => ({
    properties: { default: { minimum, default: preset }, b: { anyOf: [{ default: [preset] }] } },
    $defs: { default: { properties: { c: { default: preset, maximum: minimum } } } },
  })
  const read = schema(1, 2)
  putDefaults(read, schema('exact', 'exact'))
  expect(read).toEqual(schema(1, 'exact'))
  putDefaults(null, {})
})
