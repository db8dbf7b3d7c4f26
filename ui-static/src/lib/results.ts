// What a state says of a result, in words. The results themselves are where flows have put them.

export interface Kept {
  /** Facts with their names. */
  facts: [string, string][]
  /** The value, where the state has it. */
  value?: unknown
  note?: string
}

const text = (value: unknown): string => (typeof value === 'string' ? value : JSON.stringify(value))

/** Reads the data of a state of any generation of clients; `size` is the length of all of it. */
export function kept(data: string, size: number): Kept {
  if (size > data.length)
    return { facts: [], note: `${size.toLocaleString()} characters; this is the beginning.`, value: data }
  let parsed: unknown
  try {
    parsed = JSON.parse(data)
  } catch {
    return { facts: [], value: data }
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return { facts: [], value: parsed }
  const d = parsed as Record<string, unknown>
  if (typeof d.encoding === 'string' && 'blob' in d) return encoded(d.encoding, text(d.blob))
  if (d.type === 'unpersisted') return { facts: [], note: 'Not kept: only the process that made it had it.' }
  if (d.type === 'literal') return { facts: [], value: d.value }
  if (typeof d.storage_key !== 'string') return { facts: [], value: d }
  const serializer = d.serializer_type ?? (d.serializer as { type?: unknown } | null)?.type
  const facts: [string, unknown][] = [
    ['Kept as', d.storage_key],
    ['Written by', serializer],
    ['Until', d.expiration],
    ['In the storage block', d.storage_block_id],
  ]
  return { facts: facts.filter((f): f is [string, string] => typeof f[1] === 'string') }
}

/** Documents of the first generation. */
function encoded(encoding: string, blob: string): Kept {
  if (encoding === 'json') return kept(blob, blob.length)
  if (encoding === 'blockstorage') {
    try {
      const { data, block_id } = JSON.parse(blob) as { data?: unknown; block_id?: unknown }
      const facts: [string, unknown][] = [
        ['Kept as', data],
        ['In the storage block', block_id],
      ]
      return { facts: facts.filter(([, v]) => v !== null && v !== undefined).map(([k, v]) => [k, text(v)]) }
    } catch {
      return { facts: [], value: blob }
    }
  }
  return {
    facts: [
      ['Written by', encoding],
      ['Size', `${blob.length.toLocaleString()} characters`],
    ],
    note: 'In a form that only its program reads.',
  }
}
