import { expect, test } from 'vitest'
import { readTags, tagsText } from '../../src/lib/tags'

test('tags are read as they were written, also those with commas', () => {
  for (const tags of [[], ['a', 'b'], ['a,b', 'c'], [' x ', '"q"', 'back\\slash', 'in"side'], ['']])
    expect(readTags(tagsText(tags))).toEqual(tags)
  expect(tagsText(['a,b', 'c'])).toBe('"a,b", c')
  expect(readTags(' a,, b ,')).toEqual(['a', 'b'])
  expect(readTags('"a, b')).toEqual(['"a', 'b'])
})
