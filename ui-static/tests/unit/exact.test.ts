import { expect, test } from 'vitest'
import { readObject } from '../../src/lib/exact'

// That numbers keep their digits is tested in a browser, since Node cannot.
test('what is no object is told as what it is', () => {
  for (const text of ['1', '1.0', '[]', 'null', '"a"']) expect(readObject(text).error).toMatch(/^Must be an object/)
  expect(readObject('{').error).toMatch(/^Not valid JSON: ./)
})
