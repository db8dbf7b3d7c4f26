import { describe, expect, test } from 'vitest'
import { kept } from '../../src/lib/results'

describe('results', () => {
  const read = (data: unknown, more = 0) => {
    const text = JSON.stringify(data)
    return kept(text, text.length + more)
  }
  test('each generation says in its own way where a result is', () => {
    expect(
      read({ storage_key: 'a/b', expiration: null, serializer: { type: 'pickle' }, prefect_version: '3.8' }).facts,
    ).toEqual([
      ['Kept as', 'a/b'],
      ['Written by', 'pickle'],
    ])
    expect(
      read({ type: 'reference', storage_key: 'k', serializer_type: 'json', storage_block_id: 'id' }).facts,
    ).toEqual([
      ['Kept as', 'k'],
      ['Written by', 'json'],
      ['In the storage block', 'id'],
    ])
    expect(read({ type: 'literal', value: null })).toEqual({ facts: [], value: null })
    expect(read({ type: 'unpersisted' }).note).toMatch(/^Not kept/)
    expect(read({ encoding: 'blockstorage', blob: '{"data": {"path": "x"}, "block_id": "b"}' }).facts).toEqual([
      ['Kept as', '{"path":"x"}'],
      ['In the storage block', 'b'],
    ])
    expect(read({ encoding: 'cloudpickle', blob: 'gASV' }).note).toMatch(/only its program/)
    expect(read({ encoding: 'json', blob: '[1]' }).value).toEqual([1])
  })
  test('what is cut, or nothing that is known, is shown as it is', () => {
    expect(read('x', 5)).toEqual({ facts: [], value: '"x"', note: '8 characters; this is the beginning.' })
    expect(kept('not json', 8).value).toBe('not json')
    expect(read({ answer: 42 }).value).toEqual({ answer: 42 })
  })
})
