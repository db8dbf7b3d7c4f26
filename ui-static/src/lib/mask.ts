// Secrets among parameters.

import type { JsonSchema } from './types'

/** Whether a value is what a client shows of a secret instead of it, which nobody has given. A block's own mask is shorter, and stands for what it has. */
export const isMask = (value: unknown, schema: JsonSchema | undefined) =>
  value === '**********' && (schema?.format === 'password' || schema?.writeOnly === true)
