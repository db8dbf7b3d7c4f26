// Triggers and actions as fields: what they say is what the trigger says, or they say nothing.

import { describe, expect, test } from 'vitest'
import { ACTIONS, blank, missing, toTrigger, toWatch, type Watch } from '../../src/lib/automationForm'
import { triggerLines, type Trigger } from '../../src/lib/automations'

const WATCH: Watch = {
  family: 'flow-run',
  stays: false,
  states: ['Failed'],
  only: [],
  tags: [],
  times: 1,
  apart: '',
  seconds: 3600,
}
const said = (watch: Watch) =>
  triggerLines(toTrigger(watch))
    .map((l) => l.text)
    .join('; ')

describe('a trigger as fields', () => {
  test.each<[string, Watch]>([
    ['any state', { ...WATCH, states: [] }],
    ['some flows and tags', { ...WATCH, only: ['f1', 'f2'], tags: ['prod'] }],
    [
      'counted for each deployment',
      { ...WATCH, times: 3, apart: 'related:deployment:prefect.resource.id', seconds: 600 },
    ],
    ['too long in a state', { ...WATCH, stays: true, states: ['Running', 'Pending'], seconds: 90 }],
    ['a deployment that nobody serves', { ...WATCH, family: 'deployment', states: ['not-ready'], only: ['d1'] }],
    ['any pool, paused for a day', { ...WATCH, family: 'work-pool', stays: true, states: ['paused'], seconds: 86400 }],
    ['a state of a client’s own', { ...WATCH, states: ['Rerun'] }],
  ])('%s comes back as it was', (_, watch) => {
    expect(toWatch(toTrigger(watch))).toEqual(watch)
  })

  test('they say in words what was put in', () => {
    expect(said({ ...WATCH, times: 3, seconds: 600 })).toBe('When flow run Failed happens 3 times within 10m')
    expect(said({ ...WATCH, stays: true, states: ['Running'], seconds: 3600 })).toContain(
      'does not happen after flow run Running within 1h',
    )
    expect(said({ ...WATCH, family: 'work-pool', states: ['not-ready'], only: ['p1'] })).toBe(
      'When work pool not ready of prefect.work-pool.p1 happens',
    )
  })

  test('what a server adds and leaves out changes nothing', () => {
    const trigger = toTrigger({ ...WATCH, tags: ['b', 'a'] })
    const answered = {
      ...trigger,
      id: 'x',
      match: { 'prefect.resource.id': ['prefect.flow-run.*'] },
      match_related: [trigger.match_related].flat(),
    } as Trigger
    expect(toWatch(answered)?.tags).toEqual(['b', 'a'])
    expect(
      toWatch({
        type: 'event',
        match: { 'prefect.resource.id': 'prefect.flow-run.*' },
        expect: ['prefect.flow-run.Failed'],
        posture: 'Reactive',
      }),
    ).toEqual(WATCH)
  })

  test.each<[string, Trigger]>([
    ['several triggers', { type: 'compound', require: 'all', triggers: [toTrigger(WATCH)] }],
    ['events of others', { type: 'event', expect: ['acme.order.lost'], posture: 'Reactive' }],
    [
      'another label',
      { ...toTrigger(WATCH), match: { 'prefect.resource.id': 'prefect.flow-run.*', 'prefect.resource.name': 'x' } },
    ],
    [
      'a role that has no field',
      {
        ...toTrigger(WATCH),
        match_related: { 'prefect.resource.role': 'work-pool', 'prefect.resource.id': 'prefect.work-pool.1' },
      },
    ],
    [
      'two sets of one role',
      {
        ...toTrigger(WATCH),
        match_related: [
          { 'prefect.resource.role': 'tag', 'prefect.resource.id': 'prefect.tag.a' },
          { 'prefect.resource.role': 'tag', 'prefect.resource.id': 'prefect.tag.b' },
        ],
      },
    ],
    ['states of two families', { ...toTrigger(WATCH), expect: ['prefect.flow-run.Failed', 'prefect.task-run.Failed'] }],
    ['none at all', {}],
  ])('%s is left to JSON', (_, trigger) => {
    expect(toWatch(trigger)).toBeNull()
  })
})

test('an action says what it still needs', () => {
  const needs = Object.fromEntries(ACTIONS.map(([type]) => [type, missing(blank(type))]))
  expect(needs).toMatchObject({
    'send-notification': 'Through',
    'run-deployment': 'Deployment',
    'cancel-flow-run': null,
    'change-flow-run-state': null,
    'call-webhook': 'Webhook',
    'pause-automation': 'Automation',
  })
  expect(missing({ type: 'pause-deployment', source: 'inferred' })).toBeNull()
})
