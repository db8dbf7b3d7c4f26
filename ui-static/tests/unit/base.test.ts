import { expect, test, vi } from 'vitest'

vi.stubGlobal('document', { baseURI: 'http://x/deep/ui/' })
const { strip } = await import('../../src/lib/base')

test('a path lies under the base as a whole, or not at all', () => {
  expect(['/deep/ui', '/deep/ui/', '/deep/ui/runs', '/deep/uix'].map(strip)).toEqual(['/', '/', '/runs', '/deep/uix'])
})
