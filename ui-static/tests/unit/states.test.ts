import { expect, test } from 'vitest'
import { tries } from '../../src/lib/states'
import type { StateType } from '../../src/lib/types'

test('a run that goes on after a pause is not tried again', () => {
  const count = (...types: StateType[]) => tries(types.map((type) => ({ type })))
  expect(count('SCHEDULED', 'PENDING')).toBe(0)
  expect(count('PENDING', 'RUNNING', 'PAUSED', 'RUNNING', 'COMPLETED')).toBe(1)
  // One that was suspended is taken by an agent once more.
  expect(count('RUNNING', 'PAUSED', 'SCHEDULED', 'PENDING', 'RUNNING')).toBe(1)
  expect(count('RUNNING', 'SCHEDULED', 'RUNNING', 'FAILED')).toBe(2)
  expect(count('RUNNING', 'PAUSED', 'FAILED', 'SCHEDULED', 'RUNNING')).toBe(2)
})
