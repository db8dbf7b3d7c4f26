import { expect, test } from 'vitest'
import { fields } from '../../src/form/fields'
import { withoutSecrets } from '../../src/form/secrets'
import type { JsonSchema } from '../../src/lib/types'

const secret: JsonSchema = { type: 'string', format: 'password', writeOnly: true }
const seen = (schema: JsonSchema, value: unknown) =>
  withoutSecrets(fields({ properties: { p: schema } }, { p: value }), { p: value }).p

test.each<[string, JsonSchema, unknown, unknown]>([
  ['a secret is hidden', secret, 'hunter2', '••••••••'],
  ['one that is null is not', { anyOf: [secret, { type: 'null' }] }, null, null],
  [
    'one in a model is, and nothing else of it',
    { type: 'object', properties: { user: { type: 'string' }, key: secret } },
    { user: 'me', key: 'hunter2', more: 1 },
    { user: 'me', key: '••••••••', more: 1 },
  ],
  ['those of a list are', { type: 'array', items: secret }, ['a', 'b'], ['••••••••', '••••••••']],
  ['what is no secret stays', { type: 'string' }, 'hunter2', 'hunter2'],
])('%s', (_, schema, value, expected) => expect(seen(schema, value)).toEqual(expected))
